import { readFile } from 'node:fs/promises';
import { type ServerOptions, startServer } from '@slipway/control-plane';
import { Command } from 'commander';
import { parseListen } from '../configuration.ts';
import { serverOptions } from './options.ts';
import { untilStopped } from './until-stopped.ts';

/** The options of `slipway server`, as the command line, variables and the configuration file give them. */
export interface ServerFlags {
  listen: string;
  dataDir: string;
  organization: string;
  databaseUrl?: string;
  masterKey?: string;
  publicUrl?: string;
  tlsCert?: string;
  tlsKey?: string;
  insecureHttp?: boolean;
  cancelGraceSeconds?: number;
}

export function serverCommand(): Command {
  const command = new Command('server').description('start the control plane alone');
  for (const option of serverOptions()) command.addOption(option);
  return command.action(async (flags: ServerFlags) => {
    const server = await startServer(await controlPlaneOptions(flags));
    console.log(`Slipway is ready at ${server.url}`);
    console.log(`  access token: ${flags.dataDir}/admin-token`);
    console.log(`  pool token:   ${flags.dataDir}/pool-token`);
    console.log(`  start a runner on any host that reaches this one:`);
    console.log(`    ./slipway runner --server ${server.url} --pool-token <pool token>`);
    await untilStopped();
    await server.close();
  });
}

/** Checks what belongs together and reads the files that the flags name. */
export async function controlPlaneOptions(flags: ServerFlags): Promise<ServerOptions> {
  const { host, port } = parseListen(flags.listen);
  if ((flags.tlsCert === undefined) !== (flags.tlsKey === undefined)) {
    throw new Error('--tls-cert and --tls-key belong together: give both or none.');
  }
  if (!flags.tlsCert && !flags.insecureHttp && !isLoopback(host)) {
    throw new Error(
      `Listening on ${host} would send access tokens in clear over the network. Give --tls-cert and --tls-key, or --insecure-http where that is meant.`,
    );
  }
  const tls =
    flags.tlsCert && flags.tlsKey
      ? { certificate: await readFile(flags.tlsCert, 'utf8'), key: await readFile(flags.tlsKey, 'utf8') }
      : undefined;
  return {
    dataDirectory: flags.dataDir,
    host,
    port,
    databaseUrl: flags.databaseUrl,
    masterKey: flags.masterKey,
    publicUrl: flags.publicUrl,
    cancelGraceSeconds: flags.cancelGraceSeconds,
    organization: flags.organization,
    tls,
    logger: { level: process.env.SLIPWAY_LOG_LEVEL ?? 'warn' },
  };
}

function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || /^127\./.test(host);
}
