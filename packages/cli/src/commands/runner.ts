import { join } from 'node:path';
import type { IsolationKind } from '@slipway/core';
import {
  cacheDirectory,
  chooseDefaultImage,
  openRunnerParts,
  type Runner,
  type RunnerOptions,
  startRunner,
} from '@slipway/runner';
import { capacityWarnings } from '../host-capacity.ts';
import { logLevel, logTo } from '../log.ts';
import { ensureDataDirectory, readCertificates } from '../named-files.ts';
import { untilStopped } from './until-stopped.ts';

/** The options of `slipway runner`, as the command line, variables and the configuration file give them. */
export interface RunnerFlags {
  server?: string;
  poolToken?: string;
  dataDir: string;
  tlsCa?: string;
  insecureHttp?: boolean;
  isolation: IsolationKind;
  runners: number;
  cpus: number;
  memoryMib: number;
  volumeGib: number;
  /** A reference, or `auto`. */
  defaultImage: string;
  caFile?: string;
  allowPrivateNetworks: string[];
}

/** `slipway runner`: works for a control plane elsewhere, until it is stopped. */
export async function runner(flags: RunnerFlags): Promise<void> {
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
  const started = await startRunnerFromFlags({ ...flags, server, poolToken });
  console.log(`The runner works for the pool "${started.poolName}" of ${server}`);
  console.log(`  ${started.isolationSentence}`);
  for (const warning of await capacityWarnings(flags, flags.dataDir)) console.log(`  ${warning}`);
  await untilStopped();
  await started.stop();
}

/** Starts a runner with the real parts: guest, images, toolbox, network and isolation of this host. */
export async function startRunnerFromFlags(
  flags: RunnerFlags & { server: string; poolToken: string },
): Promise<Runner> {
  await ensureDataDirectory(flags.dataDir);
  const options: RunnerOptions = {
    serverUrl: flags.server,
    poolToken: flags.poolToken,
    insecureHttp: flags.insecureHttp ?? false,
    serverCertificateAuthority: flags.tlsCa ? await readCertificates('--tls-ca', flags.tlsCa) : undefined,
    isolation: flags.isolation,
    slots: flags.runners,
    size: { cpus: flags.cpus, memoryMiB: flags.memoryMib, volumeGiB: flags.volumeGib },
    defaultImage: await defaultImageOf(flags),
    extraCertificates: flags.caFile ? await readCertificates('--ca-file', flags.caFile) : '',
    proxy: proxyOf(process.env),
    allowedPrivateNetworks: flags.allowPrivateNetworks,
    dataDirectory: join(flags.dataDir, 'runner'),
    log: logTo(process.stderr, logLevel(process.env)),
  };
  const parts = await openRunnerParts(options, cacheDirectory(process.env));
  return startRunner(options, parts);
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
