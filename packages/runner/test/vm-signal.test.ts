import { expect, test } from 'vitest';
import { cacheDirectory } from '../src/cache-directory.ts';
import { ensureGuest } from '../src/guest/ensure-guest.ts';
import { createVmIsolation } from '../src/isolation/vm/vm-isolation.ts';
import { SandboxBench } from '../src/testing/sandbox-bench.ts';

test('a signal that is sent while the machine still boots reaches the process once there is one', {
  timeout: 240_000,
}, async () => {
  const cache = cacheDirectory(process.env);
  const guest = await ensureGuest({ cacheDirectory: cache, report: () => {} });
  const bench = await SandboxBench.open((folder) =>
    createVmIsolation({ guest, folder, cacheDirectory: cache }),
  );
  try {
    const sandbox = await bench.start('sleep 30');
    sandbox.signal('SIGKILL');
    expect(await sandbox.exited).toMatchObject({ exitCode: null, signal: 'SIGKILL', cause: null });
  } finally {
    await bench.close();
  }
});
