import { createContainerIsolation } from '../src/isolation/container/container-isolation.ts';
import { describeIsolation } from './isolation-conformance.ts';

describeIsolation('container', {
  open: async (folder) => createContainerIsolation({ folder }),
  // Time in each period, in control groups of version 2 or 1.
  cpuCount: `
    cd /sys/fs/cgroup
    read quota period < cpu.max || { read quota < cpu/cpu.cfs_quota_us; read period < cpu/cpu.cfs_period_us; }
    echo $((quota / period))`,
});
