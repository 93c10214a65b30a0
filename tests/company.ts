/**
 * Test files that run one after the other, after all others: they measure times, rates or memory closely, or keep all
 * processors busy by themselves. The others bear company: ports are given by the kernel, and names made anew.
 */
export const alone = [
  'packages/control-plane/test/log-rate.test.ts',
  'packages/control-plane/test/queue-scale.test.ts',
  'packages/control-plane/test/state-import.test.ts',
  'packages/control-plane/test/state-raw-json.test.ts',
  'packages/core/test/masking.test.ts',
  'packages/runner/test/default-image*.test.ts',
  'packages/runner/test/network-attacks.test.ts',
  'packages/runner/test/run-container.test.ts',
  'packages/runner/test/run-lease.test.ts',
  'packages/runner/test/toolbox.test.ts',
  'packages/runner/test/vm-attacks.test.ts',
  'packages/runner/test/vm-silence.test.ts',
  'packages/runner/test/warm-*.test.ts',
  'tests/log-flood.test.ts',
];

/** Files that boot machines and wait for them, or for a cache that is given ten seconds: each keeps a processor busy. */
export const onePerProcessor = [
  'packages/executor/test/log.test.ts',
  'packages/runner/test/*-conformance.test.ts',
  'packages/runner/test/container-isolation.test.ts',
  'packages/runner/test/host-disk.test.ts',
  'packages/runner/test/vm-{boot,cache,canary,end,machine,memory,network-attacks,read-ahead,signal}.test.ts',
  'tests/causes-vm.test.ts',
  'tests/dependency-cache.test.ts',
  'tests/lost-lease.test.ts',
  'tests/secrets.test.ts',
  'tests/tool-caches.test.ts',
  'tests/vm-*.test.ts',
  'tests/warm.test.ts',
  'tests/without-root.test.ts',
];

/** Files that are small, and take long. */
export const takeMinutes = [
  'packages/runner/test/vm-conformance.test.ts',
  'tests/runner-disk-full.test.ts',
  'tests/state-backend-journal.test.ts',
  'tests/vm-dependency-cache.test.ts',
  'tests/vm-deployment.test.ts',
  'tests/warm.test.ts',
];
