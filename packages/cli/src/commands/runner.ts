import { readFile } from 'node:fs/promises';
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
import { Command } from 'commander';
import { capacityWarnings } from '../host-capacity.ts';
import { logTo } from '../log.ts';
import { runnerOptions } from './options.ts';
import { untilStopped } from './until-stopped.ts';

/** The options of `slipway runner`, as the command line, variables and the configuration file give them. */
export interface RunnerFlags {
  server: string;
  poolToken: string;
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

export function runnerCommand(): Command {
  const command = new Command('runner').description(
    'start a runner that works for a control plane elsewhere',
  );
  for (const option of runnerOptions()) command.addOption(option);
  return command.action(async (flags: RunnerFlags) => {
    const runner = await startRunnerFromFlags(flags);
    console.log(`The runner works for the pool "${runner.poolName}" of ${flags.server}`);
    console.log(`  ${runner.isolationSentence}`);
    for (const warning of await capacityWarnings(flags, flags.dataDir)) console.log(`  ${warning}`);
    await untilStopped();
    await runner.stop();
  });
}

/** Starts a runner with the real parts: guest, images, toolbox, network and isolation of this host. */
export async function startRunnerFromFlags(flags: RunnerFlags): Promise<Runner> {
  const options: RunnerOptions = {
    serverUrl: flags.server,
    poolToken: flags.poolToken,
    insecureHttp: flags.insecureHttp ?? false,
    serverCertificateAuthority: flags.tlsCa ? await readFile(flags.tlsCa, 'utf8') : undefined,
    isolation: flags.isolation,
    slots: flags.runners,
    size: { cpus: flags.cpus, memoryMiB: flags.memoryMib, volumeGiB: flags.volumeGib },
    defaultImage: await defaultImageOf(flags),
    extraCertificates: flags.caFile ? await readFile(flags.caFile, 'utf8') : '',
    proxy: proxyOf(process.env),
    allowedPrivateNetworks: flags.allowPrivateNetworks,
    dataDirectory: join(flags.dataDir, 'runner'),
    log: logTo(process.stderr, process.env.SLIPWAY_LOG_LEVEL ?? 'warn'),
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
