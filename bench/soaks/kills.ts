import { killAgainAndAgain } from '../../packages/runner/src/testing/kill-cycles.ts';
import type { Soak } from './soak.ts';

/** Processes that start sandboxes, killed at random points. */
export const kills: Soak = {
  name: 'kills',
  usage: 'kills [container|vm] [count]',
  description: 'a runner that is killed at a random point leaves nothing on the host (200 times)',
  async run([isolation = 'container', count = '200'], report) {
    if (isolation !== 'container' && isolation !== 'vm') throw new Error(`no isolation "${isolation}"`);
    const { swept } = await killAgainAndAgain({
      isolation,
      count: Number(count),
      spreadMilliseconds: 3_000,
      report,
    });
    report(`${count} kills, nothing left; ${swept} of them left something to sweep`);
  },
};
