import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { repositoryPath } from '../setup/repository.ts';
import { runCommand } from '../setup/run-command.ts';

/** Sources of the guest's init; its folder `host` holds the programs that run on the host. */
export const guestSources = repositoryPath('guest');

/** Compiles C files to one program that needs no libraries. Throws with the compiler's words. */
export async function compile(
  sources: readonly string[],
  target: string,
  definitions: readonly string[] = [],
): Promise<void> {
  const warnings = ['-Wall', '-Wextra', '-Werror'];
  const definitionFlags = ['_GNU_SOURCE', ...definitions].map((definition) => `-D${definition}`);
  await runCommand([
    ...['gcc', '-static', '-Os', '-s', '-std=gnu17', ...definitionFlags, ...warnings, '-o', target],
    ...sources,
  ]);
}

/** `definitions`: `NAME=value`, in the place of what the sources say. */
export async function compileInit(target: string, definitions: readonly string[] = []): Promise<void> {
  const names = (await readdir(guestSources)).filter((name) => name.endsWith('.c')).sort();
  const sources = names.map((name) => join(guestSources, name));
  await compile(sources, target, definitions);
}
