import { readdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { CachedTool } from '@slipway/core';
import { CacheNotUsed } from './cache-not-used.ts';
import type { ProjectRuntime } from './project-runtime.ts';
import { MiB, sourceText } from './source-file.ts';

/** More than any lock file has; the executor holds it in memory. */
const maximumFileBytes = 64 * MiB;

/** What decides which packages a project gets. */
export interface LockFile {
  readonly tool: CachedTool;
  readonly path: string;
}

interface LockFileKind {
  readonly tool: CachedTool;
  readonly name: string | RegExp;
}

/** By runtime. Where files of an earlier group are, those of a later one do not count. */
const kinds: Readonly<Record<string, readonly (readonly LockFileKind[])[]>> = {
  nodejs: [
    [
      { tool: 'npm', name: 'package-lock.json' },
      { tool: 'yarn', name: 'yarn.lock' },
      { tool: 'pnpm', name: 'pnpm-lock.yaml' },
    ],
  ],
  python: [
    [
      { tool: 'pip', name: 'requirements.txt' },
      { tool: 'uv', name: 'uv.lock' },
      { tool: 'poetry', name: 'poetry.lock' },
    ],
  ],
  go: [[{ tool: 'go', name: 'go.sum' }], [{ tool: 'go', name: 'go.mod' }]],
  dotnet: [[{ tool: 'dotnet', name: 'packages.lock.json' }], [{ tool: 'dotnet', name: /\.(cs|fs|vb)proj$/ }]],
};

/**
 * The lock file of a project: in its folder, else in the nearest one above it, up to `top`. A project file that names
 * the tool (`toolchain`, `packagemanager`) decides between several. Throws `CacheNotUsed` where there is none, or more
 * than one that might count.
 */
export async function findLockFile(
  runtime: ProjectRuntime,
  projectDirectory: string,
  top: string,
): Promise<LockFile> {
  const groups = kinds[runtime.name];
  if (groups === undefined) {
    throw new CacheNotUsed(`dependencies of the runtime "${runtime.name}" are not cached`);
  }
  const named = namedTool(runtime);
  for (let directory = projectDirectory; ; directory = dirname(directory)) {
    const entries = await readdir(directory).catch(() => []);
    for (const group of groups) {
      const found = group
        .filter(({ tool }) => named === undefined || tool === named)
        .flatMap(({ tool, name }) =>
          entries
            .filter((entry) => (typeof name === 'string' ? entry === name : name.test(entry)))
            .map((entry) => ({ tool, path: join(directory, entry) })),
        );
      const [first, second] = found;
      if (second !== undefined) {
        const names = found.map(({ path }) => path).join(', ');
        throw new CacheNotUsed(`there are several lock files: ${names}`);
      }
      if (first !== undefined) return first;
    }
    if (directory === top || directory === dirname(directory)) break;
  }
  const wanted = groups.flat().filter(({ tool }) => named === undefined || tool === named);
  const names = wanted.map(({ name }) => (typeof name === 'string' ? name : 'a project file'));
  throw new CacheNotUsed(`there is no lock file (${names.join(', ')})`);
}

/** Throws `CacheNotUsed` where it cannot be read. */
export async function lockFileText({ path }: LockFile): Promise<string> {
  const text = await sourceText(path, maximumFileBytes);
  if (text === null) throw new CacheNotUsed(`${path} is not a file`);
  return text;
}

/** The tool that the project file names, where it is one whose packages are cached. */
function namedTool({ name, options }: ProjectRuntime): CachedTool | undefined {
  const wish = name === 'python' ? options.toolchain : name === 'nodejs' ? options.packagemanager : undefined;
  return kinds[name]?.flat().find(({ tool }) => tool === wish)?.tool;
}
