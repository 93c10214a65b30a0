import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Environment } from '../environment.ts';
import type { StepContext } from '../step.ts';
import { CacheNotUsed } from './cache-not-used.ts';
import { cachedFolders } from './cached-folders.ts';
import { findLockFile, type LockFile } from './lock-file.ts';
import { projectRuntime } from './project-runtime.ts';

/** An entry of the cache as a run asks for it. */
export interface WantedEntry {
  readonly key: string;
  readonly paths: readonly string[];
}

/** Which entry fits the source. Throws `CacheNotUsed` when there can be none. */
export async function identifyEntry({ layout, environment, log }: StepContext): Promise<WantedEntry> {
  const { projectDirectory, deploymentDirectory } = layout;
  const runtime = await projectRuntime(projectDirectory, deploymentDirectory);
  if (runtime === null) throw new CacheNotUsed('the project file names no runtime');
  await log.write(`Detected project runtime: ${runtime.name}`);
  const lockFile = await findLockFile(runtime, projectDirectory, deploymentDirectory);
  const lockText = await readFile(lockFile.path, 'utf8');
  const key = `${lockFile.tool}-${createHash('sha256').update(lockText).digest('hex')}`;
  await log.write(`Calculated cache entry with key ${key}`);
  const poetrySettings = lockFile.tool === 'poetry' ? await readPoetrySettings(lockFile, environment) : '';
  const project = { runtime, lockFile, lockText, projectDirectory, poetrySettings };
  return { key, paths: cachedFolders(project, { environment, isRoot: process.getuid?.() === 0 }) };
}

/** The project's settings, and behind them the user's. */
async function readPoetrySettings({ path }: LockFile, environment: Environment): Promise<string> {
  const configHome = environment.XDG_CONFIG_HOME ?? join(environment.HOME ?? '/root', '.config');
  const files = [join(dirname(path), 'poetry.toml'), join(configHome, 'pypoetry', 'config.toml')];
  const texts = await Promise.all(files.map((file) => readFile(file, 'utf8').catch(() => '')));
  return texts.join('\n');
}
