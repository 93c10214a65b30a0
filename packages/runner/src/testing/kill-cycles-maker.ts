import { cacheDirectory } from '../cache-directory.ts';
import { ensureGuest } from '../guest/ensure-guest.ts';
import { createContainerIsolation } from '../isolation/container/container-isolation.ts';
import { createVmIsolation } from '../isolation/vm/vm-isolation.ts';
import { SandboxBench } from './sandbox-bench.ts';

/** Starts sandboxes and ends them, until it is killed. Arguments: the isolation, and the folder of volumes. */
const [isolation = '', folder = ''] = process.argv.slice(2);
const bench = await SandboxBench.open(async () => {
  if (isolation === 'container') return createContainerIsolation({ folder });
  const cache = cacheDirectory(process.env);
  const guest = await ensureGuest({ cacheDirectory: cache, report: () => {} });
  return createVmIsolation({ guest, folder, cacheDirectory: cache });
});
console.log('begun');
for (;;) {
  const sandbox = await bench.start('echo writes > /file; sleep 600');
  await sandbox.started;
  await bench.clear();
}
