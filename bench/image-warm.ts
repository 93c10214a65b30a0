import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { cacheDirectory, defaultImageReference } from '@slipway/runner';
import * as z from 'zod';
import { StoreFolder } from '../packages/runner/src/images/store-folder.ts';
import { layerOf } from '../packages/runner/src/testing/layers.ts';
import { push, pushIndex, startRegistry } from '../packages/runner/test/image-registry.ts';
import { type SlipwayUnderTest, startSlipway } from '../tests/testing/slipway.ts';
import type { Benchmark } from './benchmark.ts';
import { prepareStack, stackPath } from './run-start.ts';

const rounds = 5;
const promisedMilliseconds = 50;
const queued = z.object({ id: z.string() });
const runFacts = z.object({ state: z.string(), phaseMilliseconds: z.record(z.string(), z.number()) });

export const imageWarm: Benchmark = {
  name: 'image-warm',
  description: `a run's time for an image that an earlier run has used: by tag, by the tag of an index, by digest, built here (worst of the four middles of ${rounds}), against the promised ${promisedMilliseconds} ms`,
  maximumRatio: 1,
  measure: async (report) => {
    const folder = await mkdtemp(join(tmpdir(), 'slipway-bench-'));
    const registry = await startRegistry(join(folder, 'registry'));
    const layer = layerOf([
      { file: 'usr/bin/pulumi', mode: 0o755 },
      { file: 'unique', content: randomBytes(32) },
    ]);
    const repository = `${registry.host}/team/executor`;
    const { digest, manifestBytes: size } = await push(folder, `${repository}:1`, { layers: [layer] });
    await pushIndex(repository, 'index', [{ architecture: 'amd64', digest, size }]);
    const slipway = await startSlipway({ allowPrivateRegistries: [registry.host] });
    try {
      await prepareStack(slipway);
      const references = [
        `${repository}:1`,
        `${repository}:index`,
        `${repository}@${digest}`,
        defaultImageReference,
      ];
      let worst = 0;
      for (const reference of references) {
        const first = await imageMilliseconds(slipway, reference);
        const times: number[] = [];
        for (let round = 0; round < rounds; round += 1)
          times.push(await imageMilliseconds(slipway, reference));
        const middle = times.sort((a, b) => a - b)[Math.floor(rounds / 2)] ?? 0;
        report(`${reference}: first ${first} ms, then ${times.join(', ')} ms`);
        worst = Math.max(worst, middle);
      }
      return { ours: worst, reference: promisedMilliseconds, unit: 'ms' };
    } finally {
      await slipway.close();
      await registry[Symbol.asyncDispose]();
      const device = new StoreFolder(cacheDirectory(process.env)).device(digest, repository);
      for (const path of [folder, device]) await rm(path, { recursive: true, force: true });
    }
  },
};

/** What one run says its image took. It has no project, so it ends by itself. */
async function imageMilliseconds(slipway: SlipwayUnderTest, executorImage: string): Promise<number> {
  const created = await slipway.api('POST', `${stackPath}/deployments`, {
    operation: 'update',
    executorContext: { executorImage },
  });
  const { id } = queued.parse(created.json);
  for (;;) {
    const { state, phaseMilliseconds } = runFacts.parse(
      (await slipway.api('GET', `/api/slipway/runs/${id}`)).json,
    );
    if (state === 'finished') return phaseMilliseconds.image ?? Number.NaN;
    await sleep(50);
  }
}
