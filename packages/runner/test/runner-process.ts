import { defaultCapacityOptions, isolationKind } from '@slipway/core';
import { cacheDirectory, defaultImageReference, openRunnerParts, startRunner } from '../src/index.ts';
import type { RunnerOptions } from '../src/runner-options.ts';

/**
 * A runner as a process of its own, for tests that end it or measure it. Writes its log to standard error, a line of
 * JSON each. Arguments: URL of the control plane, pool token, data directory, and the isolation (`container` when absent).
 */
const [serverUrl = '', poolToken = '', dataDirectory = '', isolation = 'container'] = process.argv.slice(2);
const write = (level: string) => (fields: object, message: string) =>
  console.error(JSON.stringify({ level, message, ...fields }));
const options: RunnerOptions = {
  serverUrl,
  poolToken,
  isolation: isolationKind.parse(isolation),
  slots: 4,
  size: { cpus: 1, memoryMiB: 1024, volumeGiB: 4 },
  capacity: { ...defaultCapacityOptions, overcommit: { cpus: 4, memoryMiB: 1, volumeGiB: 4 } },
  defaultImage: defaultImageReference,
  extraCertificates: '',
  proxy: {},
  allowedPrivateNetworks: [],
  dataDirectory,
  log: { info: write('info'), warn: write('warn'), error: write('error') },
};
const runner = await startRunner(options, await openRunnerParts(options, cacheDirectory(process.env)));
console.log('ready');
process.once('SIGTERM', async () => {
  await runner.stop();
  process.exit(0);
});
