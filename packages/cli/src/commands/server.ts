import { type ServerOptions, startServer } from '@slipway/control-plane';
import { organizationName } from '@slipway/core';
import { boundHeap } from '../bound-heap.ts';
import { parseListenAddress } from '../listen-address.ts';
import { logLevel } from '../log.ts';
import { ensureDataDirectory, readKeyPair } from '../named-files.ts';
import { listenForStop } from './stop-requests.ts';

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
  blobStorage?: string;
  blobGib?: number;
  leaseSeconds?: number;
  keepRunsDays?: number;
}

/** `slipway server`: the control plane alone, until it is stopped. */
export async function server(flags: ServerFlags): Promise<void> {
  boundHeap();
  const started = await startServer(await controlPlaneOptions(flags));
  console.log(`Slipway is ready at ${started.url}`);
  console.log(`  access token: ${flags.dataDir}/admin-token`);
  console.log(`  pool token:   ${flags.dataDir}/pool-token`);
  console.log(`  start a runner on any host that reaches this one:`);
  console.log(`    ./slipway runner --server ${started.url} --pool-token <pool token>`);
  await listenForStop().toDrain;
  await started.close();
}

/** Checks what belongs together and reads the files that the flags name. */
export async function controlPlaneOptions(flags: ServerFlags): Promise<ServerOptions> {
  const { host, port } = parseListenAddress(flags.listen);
  if ((flags.tlsCert === undefined) !== (flags.tlsKey === undefined)) {
    throw new Error('--tls-cert and --tls-key belong together: give both or none.');
  }
  if (!flags.tlsCert && !flags.insecureHttp && !isLoopback(host)) {
    throw new Error(
      `Listening on ${host} would send access tokens in clear over the network. Give --tls-cert and --tls-key, or --insecure-http where that is meant.`,
    );
  }
  const tls = flags.tlsCert && flags.tlsKey ? await readKeyPair(flags.tlsCert, flags.tlsKey) : undefined;
  await ensureDataDirectory(flags.dataDir);
  return {
    dataDirectory: flags.dataDir,
    host,
    port,
    databaseUrl: flags.databaseUrl,
    masterKey: flags.masterKey,
    publicUrl: flags.publicUrl === undefined ? undefined : checkPublicUrl(flags.publicUrl),
    cancelGraceSeconds: flags.cancelGraceSeconds,
    leaseSeconds: flags.leaseSeconds,
    keepRunsDays: flags.keepRunsDays,
    organization: checkOrganization(flags.organization),
    blobStorage: flags.blobStorage,
    blobGiB: flags.blobGib,
    tls,
    logger: { level: logLevel(process.env) },
  };
}

function checkOrganization(name: string): string {
  const { success, error } = organizationName.safeParse(name);
  if (success) return name;
  throw new Error(`--organization "${name}" cannot be used: ${error.issues[0]?.message}.`);
}

/** Stacks keep it for their secrets, so it must be one that clients can use. */
function checkPublicUrl(text: string): string {
  const url = URL.parse(text);
  if (url && ['http:', 'https:'].includes(url.protocol)) return text.replace(/\/+$/, '');
  throw new Error(`--public-url "${text}" is not a URL; write it like https://slipway.example.com.`);
}

function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || /^127\./.test(host);
}
