import { execFile } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import { guestSources } from '../src/guest/compile.ts';

const run = promisify(execFile);

/** Which functions each C file of a folder defines and which it wants of others, as their object files tell. */
async function functionsOf(folder: string) {
  const files = (await readdir(folder)).filter((name) => name.endsWith('.c'));
  const objects = await mkdtemp(join(tmpdir(), 'slipway-guest-'));
  const options = { cwd: objects };
  try {
    await run(
      'gcc',
      ['-c', '-std=gnu17', '-D_GNU_SOURCE', ...files.map((name) => join(folder, name))],
      options,
    );
    const symbols = async (file: string, which: string) => {
      const object = file.replace(/c$/, 'o');
      const { stdout } = await run('nm', ['--format=just-symbols', '--extern-only', which, object], options);
      return stdout.split('\n').filter((name) => name !== '');
    };
    return await Promise.all(
      files.map(async (file) => ({
        file,
        defined: await symbols(file, '--defined-only'),
        wanted: await symbols(file, '--undefined-only'),
      })),
    );
  } finally {
    await rm(objects, { recursive: true });
  }
}

test("each file of the guest's init calls only files that stand above it in init.h", async () => {
  const header = await readFile(join(guestSources, 'init.h'), 'utf8');
  const layers = [...header.matchAll(/^\/\* ([\w-]+\.c)/gm)].map((match) => match[1] ?? '');
  const functions = await functionsOf(guestSources);
  expect([...layers, 'init.c'].toSorted()).toEqual(functions.map(({ file }) => file).toSorted());

  const homes = new Map(
    functions.flatMap(({ file, defined }) => defined.map((name) => [name, file] as const)),
  );
  for (const { file, wanted } of functions) {
    const above = file === 'init.c' ? layers : layers.slice(0, layers.indexOf(file));
    const elsewhere = wanted.flatMap((name) => homes.get(name) ?? []).filter((home) => !above.includes(home));
    expect(elsewhere, `${file} calls functions of these`).toEqual([]);
  }
});
