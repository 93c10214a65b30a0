import { PerformanceObserver } from 'node:perf_hooks';
import { getHeapSpaceStatistics, setFlagsFromString } from 'node:v8';

/** Both halves of V8's young generation together; left to itself it takes up to 128 MiB. */
const mostYoungBytes = 32 * 1024 ** 2;

/**
 * Keeps the heap near to what is in use. Much of what passes through is garbage at once (log lines, events): V8 lets the
 * old generation become four times as large before it looks for that, and doubles the young one again and again. Both
 * flags are read whenever the heap is about to grow.
 */
export function boundHeap(): void {
  setFlagsFromString('--heap-growing-percent=50');
  const collections = new PerformanceObserver(() => {
    if (youngBytes() < mostYoungBytes) return;
    setFlagsFromString('--semi-space-growth-factor=1');
    collections.disconnect();
  });
  collections.observe({ entryTypes: ['gc'] });
}

function youngBytes(): number {
  return getHeapSpaceStatistics().find(({ space_name }) => space_name === 'new_space')?.space_size ?? 0;
}
