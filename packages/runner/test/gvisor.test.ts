import { readFileSync } from 'node:fs';
import { release } from 'node:os';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { cacheDirectory } from '../src/cache-directory.ts';
import { createContainerIsolation } from '../src/isolation/container/container-isolation.ts';
import { gvisor } from '../src/isolation/container/runtime.ts';
import { ensureGvisor, gvisorVersion } from '../src/setup/gvisor.ts';
import { repositoryPath } from '../src/setup/repository.ts';
import { outputOf, SandboxBench } from '../src/testing/sandbox-bench.ts';
import { isAlive, processesOf, startMaker } from './container-maker.ts';

let bench: SandboxBench;
beforeAll(async () => {
  const runsc = await ensureGvisor({ cacheDirectory: cacheDirectory(process.env), report: () => {} });
  bench = await SandboxBench.open(async (folder) =>
    createContainerIsolation({ folder, runtime: await gvisor(runsc) }),
  );
}, 600_000);
afterAll(() => bench.close());

test('a run in gVisor sees a kernel that is not the host’s, and its record names both', async () => {
  const sandbox = await bench.start('cat /proc/sys/kernel/osrelease >&3; dmesg >&3');
  const output = await outputOf(sandbox);
  expect(output.split('\n')[0]).not.toBe(release());
  expect(output).toContain('Starting gVisor');
  expect((await sandbox.started).kernelRelease).toMatch(/^gVisor release-\S+ on /);
  expect((await sandbox.started).kernelRelease).toContain(release());
});

test('a run in gVisor ends when its runner is stopped rather than killed', async () => {
  await using maker = await startMaker('gvisor');
  // Programs of runsc: its kernel in user space, its file server, and those in which the run's code is.
  const ofContainer = processesOf(maker.traces, /^(runsc|exe)/);
  expect(ofContainer.length).toBeGreaterThan(3);
  maker.process.kill('SIGSTOP');
  await expect.poll(() => ofContainer.some(isAlive), { timeout: 10_000, interval: 20 }).toBe(false);
});

test('the version that is built is the one that the module pins', () => {
  const module = readFileSync(repositoryPath('guest/gvisor/go.mod'), 'utf8');
  expect(module).toMatch(new RegExp(`gvisor\\.dev/gvisor v0\\.0\\.0-${gvisorVersion.split('.')[0]}`));
});
