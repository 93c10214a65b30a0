import { copyFile, mkdir } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { runCommand } from '../setup/run-command.ts';

/** Name of the dynamic loader in `<folder>/lib`, the same whatever the host calls it. */
export const loaderName = 'ld-linux-x86-64.so.2';

/**
 * Copies a program to `<folder>/bin/node`, and the loader and the shared libraries that it needs to `<folder>/lib`, so
 * that it starts in a root that holds none of them, or others.
 */
export async function copyWithLibraries(program: string, folder: string): Promise<void> {
  await mkdir(join(folder, 'bin'), { recursive: true });
  await mkdir(join(folder, 'lib'), { recursive: true });
  await copyFile(program, join(folder, 'bin', 'node'));
  for (const path of await librariesOf(program)) {
    const name = /\/ld-[^/]*\.so[^/]*$/.test(path) ? loaderName : basename(path);
    await copyFile(path, join(folder, 'lib', name));
  }
}

/** Paths of the libraries and of the loader, as ldd(1) prints them: `name => /path (address)` or `/path (address)`. */
async function librariesOf(program: string): Promise<string[]> {
  const lines = (await runCommand(['ldd', program])).split('\n');
  const missing = lines.find((line) => line.includes('not found'));
  if (missing) throw new Error(`A library of ${program} is missing on this host: ${missing.trim()}`);
  return lines.flatMap((line) => line.match(/(\/\S+) \(0x/)?.[1] ?? []);
}
