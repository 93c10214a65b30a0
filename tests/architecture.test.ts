import { readdirSync, readFileSync } from 'node:fs';
import { join, relative, sep } from 'node:path';
import { expect, test } from 'vitest';

const root = join(import.meta.dirname, '..');

/** The arrows of ARCHITECTURE.md: which packages a package may import. */
const allowedPackages: Record<string, readonly string[]> = {
  core: [],
  'control-plane': ['core'],
  runner: ['core'],
  executor: ['core'],
  cli: ['control-plane', 'core', 'runner'],
};
/** Modules that `core` may import: it does no I/O, and knows no clock and no randomness. */
const allowedInCore = ['zod'];
/** Slices of the control plane, reached from another slice only through their `index.ts`. `tables.ts` declares types. */
const slices = [
  'stacks',
  'secrets',
  'deployments',
  'dependency-caches',
  'queue',
  'pools',
  'identity',
  'logs',
  'examples',
  'blobs',
];

interface Import {
  readonly file: string;
  readonly target: string;
}

function importsOf(packageName: string): Import[] {
  const directory = join(root, 'packages', packageName, 'src');
  return readdirSync(directory, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts'))
    .flatMap((name) => {
      const text = readFileSync(join(directory, name), 'utf8');
      return [...text.matchAll(/(?:from|import)\s*\(?\s*'([^']+)'/g)].map((match) => ({
        file: name,
        target: match[1] ?? '',
      }));
    });
}

/** Why an import is forbidden; undefined when it is allowed. */
function objection(packageName: string, { file, target }: Import): string | undefined {
  const where = `packages/${packageName}/src/${file} imports ${target}`;
  const own = /^@slipway\/([a-z-]+)(\/.*)?$/.exec(target);
  if (own) {
    if (own[2]) return `${where}: a package is imported by its name only`;
    return allowedPackages[packageName]?.includes(own[1] ?? '')
      ? undefined
      : `${where}: not an arrow of ARCHITECTURE.md`;
  }
  if (target.startsWith('.')) {
    const source = join(root, 'packages', packageName, 'src');
    const path = relative(source, join(source, file, '..', target));
    if (path.startsWith('..')) return `${where}: outside its package`;
    if (packageName !== 'control-plane') return undefined;
    const [fromSlice = ''] = file.split(sep);
    const [toSlice = '', ...rest] = path.split(sep);
    const foreign = slices.includes(toSlice) && toSlice !== fromSlice;
    return foreign && !['index.ts', 'tables.ts'].includes(rest.join('/'))
      ? `${where}: a slice is reached through its index.ts`
      : undefined;
  }
  if (packageName === 'core' && !allowedInCore.includes(target)) return `${where}: core imports only zod`;
  return undefined;
}

/** Files of a package that import each other in a circle, types included; undefined when there is no circle. */
function circleIn(imports: readonly Import[]): string[] | undefined {
  const targets = new Map<string, string[]>();
  for (const { file, target } of imports) {
    if (!target.startsWith('.')) continue;
    targets.set(file, [...(targets.get(file) ?? []), join(file, '..', target)]);
  }
  const isCleared = new Set<string>();
  const circleThrough = (file: string, way: readonly string[]): string[] | undefined => {
    if (way.includes(file)) return [...way.slice(way.indexOf(file)), file];
    if (isCleared.has(file)) return undefined;
    for (const target of targets.get(file) ?? []) {
      const circle = circleThrough(target, [...way, file]);
      if (circle) return circle;
    }
    isCleared.add(file);
    return undefined;
  };
  for (const file of targets.keys()) {
    const circle = circleThrough(file, []);
    if (circle) return circle;
  }
  return undefined;
}

test.each(Object.keys(allowedPackages))('no files of %s import each other in a circle', (packageName) => {
  expect(circleIn(importsOf(packageName))).toBeUndefined();
});

test('a circle is found, also one that does not begin where the search does', () => {
  const imports = [
    { file: 'server.ts', target: './http/route.ts' },
    { file: 'http/route.ts', target: '../identity/index.ts' },
    { file: 'identity/index.ts', target: './routes.ts' },
    { file: 'identity/routes.ts', target: '../http/route.ts' },
  ];
  const circle = ['http/route.ts', 'identity/index.ts', 'identity/routes.ts', 'http/route.ts'];
  expect(circleIn(imports)).toEqual(circle);
  expect(circleIn(imports.slice(0, 3))).toBeUndefined();
});

test.each(Object.keys(allowedPackages))('%s imports only what the architecture allows', (packageName) => {
  const imports = importsOf(packageName);
  expect(imports.length).toBeGreaterThan(0);
  expect(imports.flatMap((each) => objection(packageName, each) ?? [])).toEqual([]);
});

test.each([
  ['core', { file: 'run.ts', target: 'node:fs' }],
  ['core', { file: 'run.ts', target: '@slipway/runner' }],
  ['runner', { file: 'index.ts', target: '@slipway/control-plane' }],
  ['executor', { file: 'main.ts', target: '../../runner/src/index.ts' }],
  ['control-plane', { file: 'deployments/routes.ts', target: '../stacks/updates.ts' }],
])('a forbidden import is found: %s', (packageName, forbidden) => {
  expect(objection(packageName, forbidden)).toBeDefined();
});

/** Packages that a file brings along when it is loaded: its imports, and those of the files that it imports. */
function packagesLoadedBy(path: string, seen = new Set<string>()): string[] {
  if (seen.has(path)) return [];
  seen.add(path);
  // `import type` is erased; `import('…')` waits until it is asked for.
  const imports = /^(?:import|export)\s+(?!type\b)(?:[^'";]*?\sfrom\s+)?'([^']+)'/gm;
  return [...readFileSync(path, 'utf8').matchAll(imports)].flatMap(([, target = '']) =>
    target.startsWith('.') ? packagesLoadedBy(join(path, '..', target), seen) : [target],
  );
}

test('`slipway --help` loads neither control plane nor runner, and a command loads what it needs', () => {
  const loadedBy = (file: string) => packagesLoadedBy(join(root, 'packages', 'cli', 'src', file));
  const heavy = ['@slipway/control-plane', '@slipway/core', '@slipway/runner', 'listr2', 'yaml', 'zod'];
  const loaded = loadedBy('main.ts');
  expect(loaded).toContain('commander');
  expect(loaded.filter((name) => heavy.includes(name))).toEqual([]);
  expect(loadedBy('commands/up.ts')).toEqual(
    expect.arrayContaining(['@slipway/control-plane', '@slipway/runner']),
  );
});
