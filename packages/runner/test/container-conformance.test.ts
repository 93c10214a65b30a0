import { createContainerIsolation } from '../src/isolation/container/container-isolation.ts';
import { hostCpuCount } from './container-cpu-count.ts';
import { describeIsolation } from './isolation-conformance.ts';

describeIsolation('container', {
  open: async (folder) => createContainerIsolation({ folder }),
  cpuCount: hostCpuCount,
});
