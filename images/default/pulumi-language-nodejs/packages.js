import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

/** A folder and its parents, up to the root. */
export function* upwards(directory) {
  for (let current = directory; ; current = dirname(current)) {
    yield current;
    if (dirname(current) === current) return;
  }
}

/** `package.json` of a folder; undefined when there is none or it is not JSON. */
export function readPackage(directory) {
  try {
    return JSON.parse(readFileSync(join(directory, 'package.json'), 'utf8'));
  } catch {
    return undefined;
  }
}

/** Every package that is installed for the program in `directory`: those below its own and its parents' folders. */
export function* installedPackages(directory) {
  for (const folder of upwards(directory)) yield* packagesIn(join(folder, 'node_modules'));
}

function* packagesIn(modules) {
  for (const name of names(modules)) {
    if (name.startsWith('.')) continue;
    if (name.startsWith('@')) {
      for (const scoped of names(join(modules, name))) yield* packageAt(join(modules, name, scoped));
    } else {
      yield* packageAt(join(modules, name));
    }
  }
}

function* packageAt(directory) {
  const manifest = readPackage(directory);
  if (manifest === undefined) return;
  yield { directory, manifest };
  yield* packagesIn(join(directory, 'node_modules'));
}

function names(directory) {
  try {
    return readdirSync(directory);
  } catch {
    return [];
  }
}
