import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { repositoryPath } from '../setup/repository.ts';
import { runCommand } from '../setup/run-command.ts';

/** Sources of the guest's init; its folder `host` holds the programs that run on the host. */
export const guestSources = repositoryPath('guest');

/** Compiles C files to one program that needs no libraries. Throws with the compiler's words. */
export async function compile(sources: readonly string[], target: string): Promise<void> {
  const warnings = ['-Wall', '-Wextra', '-Werror'];
  await runCommand([
    ...['gcc', '-static', '-Os', '-s', '-std=gnu17', '-D_GNU_SOURCE', ...warnings, '-o', target, ...sources],
  ]);
}

export async function compileInit(target: string): Promise<void> {
  const names = (await readdir(guestSources)).filter((name) => name.endsWith('.c')).sort();
  await compile(
    names.map((name) => join(guestSources, name)),
    target,
  );
}
