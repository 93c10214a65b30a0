import {
  cacheDirectory,
  chooseDefaultImage,
  openRunnerParts,
  type Runner,
  type RunnerOptions,
  startRunner,
} from '@slipway/runner';
import { boundHeap } from '../bound-heap.ts';
import { logLevel, logTo } from '../log.ts';
import { ensureDataDirectory, readCertificates } from '../named-files.ts';
import { capacityOptionsOf, chooseSandboxSize, type SizeFlags } from '../sandbox-size.ts';
import { runnerDirectory } from './runner-pause.ts';
import { listenForStop } from './stop-requests.ts';

/** The options of `slipway runner`, as the command line, variables and the configuration file give them. */
export interface RunnerFlags extends SizeFlags {
  server?: string;
  poolToken?: string;
  dataDir: string;
  tlsCa?: string;
  insecureHttp?: boolean;
  /** A reference, or `auto`. */
  defaultImage: string;
  warm?: number;
  warmImage?: string[];
  dependencyCacheGib?: number;
  imageCacheGib?: number;
  registryIdentity?: 'host' | 'none';
  caFile?: string;
  allowPrivateNetworks: string[];
  allowPrivateRegistries: string[];
  drainSeconds?: number;
}

/** Below the 90 s after which service managers lose patience. */
export const usualDrainSeconds = 60;

/** `slipway runner`: works for a control plane elsewhere, until it is stopped. */
export async function runner(flags: RunnerFlags): Promise<void> {
  boundHeap();
  const { server, poolToken } = flags;
  if (!server) {
    throw new Error(
      '--server is missing: give the URL of the control plane, like https://slipway.example.com.',
    );
  }
  if (!poolToken) {
    throw new Error(
      "--pool-token is missing: the token is in <data-dir>/pool-token on the control plane's host; SLIPWAY_POOL_TOKEN keeps it out of the list of processes.",
    );
  }
  const { runner: started, remarks } = await startRunnerFromFlags({ ...flags, server, poolToken });
  console.log(`The runner works for the pool "${started.poolName}" of ${server}`);
  console.log(`  ${started.isolationSentence}`);
  for (const remark of remarks) console.log(`  ${remark}`);
  const { toDrain, toStop } = listenForStop();
  await toDrain;
  await Promise.race([started.drain(flags.drainSeconds ?? usualDrainSeconds), toStop]);
  await started.stop();
}

export interface StartedRunner {
  readonly runner: Runner;
  /** What whoever starts it should know about the size of its sandboxes. */
  readonly remarks: readonly string[];
}

/** Starts a runner with the real parts: guest, images, toolbox, network and isolation of this host. */
export async function startRunnerFromFlags(
  flags: RunnerFlags & { server: string; poolToken: string },
): Promise<StartedRunner> {
  await ensureDataDirectory(flags.dataDir);
  const { size, remarks } = await chooseSandboxSize(flags, flags.dataDir);
  const options: RunnerOptions = {
    serverUrl: flags.server,
    poolToken: flags.poolToken,
    insecureHttp: flags.insecureHttp ?? false,
    serverCertificateAuthority: flags.tlsCa ? await readCertificates('--tls-ca', flags.tlsCa) : undefined,
    isolation: flags.isolation,
    slots: flags.runners,
    size,
    capacity: capacityOptionsOf(flags),
    defaultImage: await defaultImageOf(flags),
    extraCertificates: flags.caFile ? await readCertificates('--ca-file', flags.caFile) : '',
    proxy: proxyOf(process.env),
    allowedPrivateNetworks: flags.allowPrivateNetworks,
    allowedPrivateRegistries: flags.allowPrivateRegistries,
    dataDirectory: runnerDirectory(flags.dataDir),
    log: logTo(process.stderr, logLevel(process.env)),
    warm: { count: flags.warm ?? 0, images: flags.warmImage ?? [] },
    dependencyCacheGiB: flags.dependencyCacheGib,
    imageCacheGiB: flags.imageCacheGib,
    usesHostIdentity: flags.registryIdentity !== 'none',
  };
  const parts = await openRunnerParts(options, cacheDirectory(process.env));
  return { runner: await startRunner(options, parts), remarks };
}

/** Which executor image runs get that name none. */
export function defaultImageOf({
  defaultImage,
}: Pick<RunnerFlags, 'defaultImage'>): Promise<string> | string {
  return defaultImage === 'auto' ? chooseDefaultImage() : defaultImage;
}

/** The usual variables, in either case of letters. */
function proxyOf(environment: NodeJS.ProcessEnv): RunnerOptions['proxy'] {
  return {
    http: environment.HTTP_PROXY ?? environment.http_proxy,
    https: environment.HTTPS_PROXY ?? environment.https_proxy,
    noProxy: environment.NO_PROXY ?? environment.no_proxy,
  };
}
