import { expect, test } from 'vitest';
import { openVmBench, vmTimeoutMilliseconds } from '../src/testing/vm-bench.ts';

test('a signal that is sent while the machine still boots reaches the process once there is one', {
  timeout: vmTimeoutMilliseconds,
}, async () => {
  await using bench = await openVmBench();
  const sandbox = await bench.start('sleep 30');
  sandbox.signal('SIGKILL');
  expect(await sandbox.exited).toMatchObject({ exitCode: null, signal: 'SIGKILL', cause: null });
});
