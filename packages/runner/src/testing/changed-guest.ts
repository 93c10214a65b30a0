import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
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
