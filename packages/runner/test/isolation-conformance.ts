import { afterAll, afterEach, beforeAll, describe } from 'vitest';
import { SandboxBench } from '../src/testing/sandbox-bench.ts';
import { describeChannel } from './conformance/channel.ts';
import type { ConformanceOptions } from './conformance/conformance.ts';
import { describeDestroy } from './conformance/destroy.ts';
import { describeEnd } from './conformance/end.ts';
import { describeInside } from './conformance/inside.ts';
import { describeLimits } from './conformance/limits.ts';
import { describeNetwork } from './conformance/network.ts';
import { describeUsage } from './conformance/usage.ts';

/** What every isolation promises. Called by the test file of each. */
export function describeIsolation(
  name: string,
  { open, timeoutMilliseconds, ...given }: ConformanceOptions,
): void {
  describe(`a sandbox of isolation ${name}`, { timeout: timeoutMilliseconds ?? 60_000 }, () => {
    let bench: SandboxBench;
    beforeAll(async () => {
      bench = await SandboxBench.open(open);
    });
    afterEach(() => bench.clear());
    afterAll(() => bench.close());

    const conformance = {
      ...{ channelMiB: 100, channelBufferMiB: 8, smallMemoryMiB: 256, smallVolumeGiB: 1 },
      ...{ cacheTransfer: 'archive' as const, endsAsAWhole: false, makesNamespaces: false },
      ...{ countsItsKernel: false, mayAnswerLate: false },
      ...given,
      bench: () => bench,
    };
    describeChannel(conformance);
    describeEnd(conformance);
    describeLimits(conformance);
    describeInside(conformance);
    describeNetwork(conformance);
    describeUsage(conformance);
    describeDestroy(conformance);
  });
}
