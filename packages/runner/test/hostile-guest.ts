import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { compile, guestSources } from '../src/guest/compile.ts';
import type { Guest } from '../src/guest/ensure-guest.ts';
import { changedGuest } from '../src/testing/changed-guest.ts';

const attacks = join(import.meta.dirname, 'fixtures/hostile-guest');

/** The guest with another process 1, which is the runner's enemy. What is made for it lies in `folder`. */
export async function hostileGuest(guest: Guest, folder: string): Promise<Guest> {
  const program = join(folder, 'hostile-init');
  const sources = [guestSources, attacks].flatMap((from) =>
    readdirSync(from)
      .filter((name) => name.endsWith('.c') && name !== 'init.c')
      .map((name) => join(from, name)),
  );
  await compile(sources, program);
  return changedGuest(guest, folder, [{ path: '/init', contents: readFileSync(program) }]);
}
