import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { removeUnlessHeld } from './hold.ts';

/** How many earlier versions stay, beside those that a runner holds: to go back to another branch costs nothing then. */
const keptVersions = 4;

/** Removes all but the newest versions (folders named by `contentKey`) of what is made in a folder of the cache. */
export async function keepNewestVersions(parent: string): Promise<void> {
  const names = (await readdir(parent)).filter((name) => /^[0-9a-f]{24}$/.test(name));
  const versions = await Promise.all(
    names.map(async (name) => ({
      path: join(parent, name),
      madeAt: (await stat(join(parent, name))).mtimeMs,
    })),
  );
  versions.sort((a, b) => b.madeAt - a.madeAt);
  for (const { path } of versions.slice(keptVersions)) await removeUnlessHeld(path);
}
