import { clock } from './soaks/clock.ts';
import { flood } from './soaks/flood.ts';
import { kills } from './soaks/kills.ts';
import { runs } from './soaks/runs.ts';
import type { Soak } from './soaks/soak.ts';

/** What takes too long for `npm test`: `npm run soak -- NAME [minutes] …`. */
const soaks: readonly Soak[] = [runs, clock, kills, flood];

const [wanted, ...words] = process.argv.slice(2);
const chosen = soaks.find(({ name }) => name === wanted);
if (chosen === undefined) {
  console.error('usage: npm run soak -- NAME …\n');
  for (const { usage, description } of soaks) console.error(`  ${usage.padEnd(32)} ${description}`);
  process.exit(2);
}
await chosen.run(words, (line) => console.log(line));
