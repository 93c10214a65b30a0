import { createContainerIsolation } from '../isolation/container/container-isolation.ts';
import { SandboxBench } from './sandbox-bench.ts';
import { openVmIsolation } from './vm-bench.ts';

/** Starts sandboxes and ends them, until it is killed. Arguments: the isolation, and the folder of volumes. */
const [isolation = '', folder = ''] = process.argv.slice(2);
const bench = await SandboxBench.open(async () =>
  isolation === 'container' ? createContainerIsolation({ folder }) : openVmIsolation(folder),
);
console.log('begun');
for (;;) {
  const sandbox = await bench.start('echo writes > /file; sleep 600');
  await sandbox.started;
  await bench.clear();
}
