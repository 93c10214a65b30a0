import { cacheDirectory } from '../src/cache-directory.ts';
import { createContainerIsolation } from '../src/isolation/container/container-isolation.ts';
import { gvisor } from '../src/isolation/container/runtime.ts';
import { ensureGvisor } from '../src/setup/gvisor.ts';
import { hostCpuCount } from './container-cpu-count.ts';
import { describeIsolation } from './isolation-conformance.ts';

describeIsolation('gvisor', {
  open: async (folder) => {
    const runsc = await ensureGvisor({ cacheDirectory: cacheDirectory(process.env), report: () => {} });
    return createContainerIsolation({ folder, runtime: await gvisor(runsc) });
  },
  cpuCount: hostCpuCount,
  endsAsAWhole: true,
  countsItsKernel: true,
  makesNamespaces: true,
});
