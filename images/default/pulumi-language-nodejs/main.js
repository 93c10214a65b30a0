/**
 * The Node.js language host of the locally built executor image: the program that the `pulumi` CLI starts for a
 * project with `runtime: nodejs`. It serves `pulumirpc.LanguageRuntime` on loopback and prints its port, as Pulumi's
 * own host does (Pulumi CLI: sdk/v3/go/common/resource/plugin/langruntime_plugin.go is the other end).
 *
 * It is bundled into one file, because where virtual machines are emulated each module costs milliseconds.
 */
import { Server, ServerCredentials } from '@grpc/grpc-js';
import { LanguageRuntimeService } from '@pulumi/pulumi/proto/language_grpc_pb.js';
import { about } from './about.js';
import { killChildren } from './children.js';
import { installDependencies } from './install-dependencies.js';
import { whenParentIsGone } from './parent-watch.js';
import { getProgramDependencies } from './program-dependencies.js';
import { getRequiredPackages } from './required-packages.js';
import { answerWith, streamFrom } from './rpc.js';
import { runPlugin } from './run-plugin.js';
import { createRunner } from './run-program.js';
import { getPluginInfo, handshake } from './self-description.js';

const engine = { address: process.argv.slice(2).find((argument) => !argument.startsWith('-')) ?? '' };

const server = new Server({ 'grpc.max_receive_message_length': 400 * 1024 * 1024 });
server.addService(LanguageRuntimeService, {
  handshake: answerWith((request) => handshake(engine, request)),
  getPluginInfo: answerWith(getPluginInfo),
  about: answerWith(about),
  getRequiredPackages: answerWith(getRequiredPackages),
  getProgramDependencies: answerWith(getProgramDependencies),
  installDependencies: streamFrom(installDependencies),
  run: answerWith(createRunner(engine)),
  runPlugin: streamFrom(runPlugin),
  cancel: answerWith(killChildren),
});

server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, port) => {
  if (error) throw error;
  process.stdout.write(`${port}\n`);
});

/** The CLI ends its plugins with SIGINT (pkg/resource/plugin/plugin.go); what they started must not go on alone. */
const stop = () => {
  killChildren();
  process.exit(0);
};
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, stop);
whenParentIsGone(stop);
