import { boundHeap } from '../packages/cli/src/bound-heap.ts';
import type { Benchmark } from './benchmark.ts';
import { cacheRestore, cacheRestoreRead, cacheSave } from './cache-restore.ts';
import { density } from './density.ts';
import { destroy } from './destroy.ts';
import { idleMemory } from './idle-memory.ts';
import { imageWarm } from './image-warm.ts';
import { runStart } from './run-start.ts';
import { stateUpFirst, stateUpNoChange } from './state-up.ts';
import { warmStart } from './warm-start.ts';

const benchmarks: readonly Benchmark[] = [
  runStart,
  warmStart,
  stateUpFirst,
  stateUpNoChange,
  destroy,
  idleMemory,
  density,
  imageWarm,
  cacheRestore,
  cacheRestoreRead,
  cacheSave,
];

const wanted = process.argv.slice(2);
const chosen = benchmarks.filter(({ name }) => wanted.includes(name));
if (chosen.length === 0 || chosen.length !== wanted.length) {
  console.error('usage: npm run bench -- NAME …\n');
  for (const { name, description } of benchmarks) console.error(`  ${name.padEnd(20)} ${description}`);
  process.exit(2);
}
// Most benchmarks have Slipway in this process, where its commands would do this.
boundHeap();
for (const benchmark of chosen) {
  console.log(`${benchmark.name}: ${benchmark.description}`);
  const { ours, reference, unit } = await benchmark.measure((line) => console.log(`  ${line}`));
  const ratio = ours / reference;
  if (ratio > benchmark.maximumRatio) {
    process.exitCode = 1;
    console.log(`  promise broken: at most ${benchmark.maximumRatio}`);
  }
  const figure = (value: number) => `${value.toFixed(2)} ${unit}`;
  console.log(
    `${benchmark.name} ratio ${ratio < 0.1 ? ratio.toPrecision(2) : ratio.toFixed(2)} (ours ${figure(ours)}, reference ${figure(reference)})`,
  );
}
