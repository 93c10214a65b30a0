import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { compile, guestSources } from '../src/guest/compile.ts';
import type { Guest } from '../src/guest/ensure-guest.ts';
import { writeInitramfs } from '../src/guest/initramfs.ts';

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
  const addition = join(folder, 'hostile-addition');
  await writeInitramfs(addition, [{ path: '/init', contents: readFileSync(program) }]);
  // Linux unpacks one archive after the other, and later files replace earlier ones.
  const initramfsPath = join(folder, 'hostile-initramfs');
  writeFileSync(
    initramfsPath,
    Buffer.concat([guest.initramfsPath, addition].map((path) => readFileSync(path))),
  );
  return { ...guest, initramfsPath };
}
