import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { cacheDirectory } from '../src/cache-directory.ts';
import { outputOf, type SandboxBench } from '../src/testing/sandbox-bench.ts';
import { openVmBench, vmTimeoutMilliseconds } from '../src/testing/vm-bench.ts';
import { ensureToolbox } from '../src/toolbox/ensure-toolbox.ts';
import type { Toolbox } from '../src/toolbox/toolbox.ts';

/** 1,271 without it, 269 with it: what a Node that evaluates a text reads is not all what an executor reads. */
const mostPagesWaitedFor = 600;

describe('a virtual machine', { timeout: vmTimeoutMilliseconds }, () => {
  let bench: SandboxBench;
  let toolbox: Toolbox;
  beforeAll(async () => {
    toolbox = await ensureToolbox({ cacheDirectory: cacheDirectory(process.env), report: () => {} });
    bench = await openVmBench();
  });
  afterAll(() => bench.close());

  test('has read what an executor needs of its toolbox before it needs it', async () => {
    const node = toolbox.executorArgv.slice(1, -2).join(' ');
    const tell = 'fs.writeSync(3, String(process.resourceUsage().majorPageFault))';
    const sandbox = await bench.start(`sleep 3; ${node} --eval '${tell}'`, { toolbox });
    expect(Number(await outputOf(sandbox))).toBeLessThan(mostPagesWaitedFor);
  });
});
