/** They measure times, rates or memory closely, or wait for what the product itself gives only seconds. */
const measuring = [
  'packages/control-plane/test/queue-scale.test.ts',
  'packages/control-plane/test/state-import.test.ts',
  'packages/control-plane/test/state-raw-json.test.ts',
  'packages/core/test/masking.test.ts',
  'packages/executor/test/log.test.ts',
  'packages/runner/test/container-isolation.test.ts',
  'packages/runner/test/default-image*.test.ts',
  'packages/runner/test/network-attacks.test.ts',
  'packages/runner/test/qemu-process.test.ts',
  'packages/runner/test/resolver-log.test.ts',
  'packages/runner/test/run-container.test.ts',
  'packages/runner/test/run-lease.test.ts',
  'packages/runner/test/spool.test.ts',
  'packages/runner/test/toolbox.test.ts',
  'packages/runner/test/warm-pool.test.ts',
  'tests/dependency-cache.test.ts',
  'tests/log-flood.test.ts',
];

/** They boot machine after machine, or look at all that is on the host. */
const needingTheHost = [
  'packages/runner/test/*-conformance.test.ts',
  'packages/runner/test/host-disk.test.ts',
  'packages/runner/test/orphans.test.ts',
  'packages/runner/test/vm-*.test.ts',
  'tests/causes-vm.test.ts',
  'tests/database-faults.test.ts',
  'tests/lost-lease.test.ts',
  'tests/runner-disk-full.test.ts',
  'tests/secrets.test.ts',
  'tests/vm-*.test.ts',
  'tests/without-root.test.ts',
];

/**
 * Test files that run one after the other, after all others. These run beside each other and must bear company: ports are
 * given by the kernel, and names made anew.
 */
export const alone = [...measuring, ...needingTheHost];
