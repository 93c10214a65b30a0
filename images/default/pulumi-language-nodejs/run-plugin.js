import { RunPluginResponse } from '@pulumi/pulumi/proto/language_pb.js';
import { ended, startChild } from './children.js';
import { resolveSdkModule } from './sdk.js';

/** `RunPlugin`: executes a policy pack or a provider that is written for Node.js, for as long as the engine wants it. */
export async function runPlugin(request, write, signal) {
  const directory = request.getInfo().getProgramDirectory();
  const child = startChild(process.execPath, pluginArguments(request, directory), {
    cwd: request.getPwd() || directory,
    env: { ...process.env, ...environment(request.getEnvList()) },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  signal.addEventListener('abort', () => child.kill('SIGKILL'));
  child.stdout.on('data', (chunk) => write(new RunPluginResponse().setStdout(chunk)));
  child.stderr.on('data', (chunk) => write(new RunPluginResponse().setStderr(chunk)));
  const { code } = await ended(child);
  write(new RunPluginResponse().setExitcode(code ?? 1));
}

/** A policy pack gets the engine's address before its folder, a provider after it (sdk/nodejs/cmd/run-*). */
function pluginArguments(request, directory) {
  if (request.getKind() === 'analyzer') {
    const [engineAddress = '', ...rest] = request.getArgsList();
    return [resolveSdkModule(directory, 'cmd/run-policy-pack'), engineAddress, directory, ...rest];
  }
  return [resolveSdkModule(directory, 'cmd/run-plugin'), directory, ...request.getArgsList()];
}

function environment(pairs) {
  return Object.fromEntries(
    pairs.map((pair) => [pair.slice(0, pair.indexOf('=')), pair.slice(pair.indexOf('=') + 1)]),
  );
}
