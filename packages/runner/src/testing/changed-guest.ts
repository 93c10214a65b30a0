import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { compile, compileInit, guestSources } from '../guest/compile.ts';
import type { Guest } from '../guest/ensure-guest.ts';
import { type InitramfsFile, writeInitramfs } from '../guest/initramfs.ts';

/** The guest with these files, in place of its own where it has such. What is made for it lies in `folder`. */
export async function changedGuest(
  guest: Guest,
  folder: string,
  files: readonly InitramfsFile[],
): Promise<Guest> {
  const addition = join(folder, 'addition');
  await writeInitramfs(addition, files);
  // Linux unpacks one archive after the other, and later files replace earlier ones.
  const archives = await Promise.all([guest.initramfsPath, addition].map((path) => readFile(path)));
  const initramfsPath = join(folder, 'initramfs');
  await writeFile(initramfsPath, Buffer.concat(archives));
  return { ...guest, initramfsPath };
}

/**
 * The guest with another process 1, of C sources that may call all of init but its `main`. Where it is to go on as it
 * should, our own is at `/own-init`.
 */
export async function guestWithInit(
  guest: Guest,
  folder: string,
  sources: readonly string[],
): Promise<Guest> {
  const parts = (await readdir(guestSources)).filter((name) => name.endsWith('.c') && name !== 'init.c');
  await compile([...sources, ...parts.map((name) => join(guestSources, name))], join(folder, 'init'));
  await compileInit(join(folder, 'own-init'));
  const programs = ['init', 'own-init'].map(async (name) => ({
    path: `/${name}`,
    contents: await readFile(join(folder, name)),
  }));
  return changedGuest(guest, folder, await Promise.all(programs));
}
