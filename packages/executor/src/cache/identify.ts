import { createHash } from 'node:crypto';
import type { StepContext } from '../step.ts';
import { CacheNotUsed } from './cache-not-used.ts';
import { cachedFolders } from './cached-folders.ts';
import { findLockFile, lockFileText } from './lock-file.ts';
import { projectRuntime } from './project-runtime.ts';
import { withToolSettings } from './tool-settings.ts';

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
  const lockText = await lockFileText(lockFile);
  const key = `${lockFile.tool}-${createHash('sha256').update(lockText).digest('hex')}`;
  await log.write(`Calculated cache entry with key ${key}`);
  const project = { runtime, lockFile, lockText, projectDirectory };
  const settled = await withToolSettings(project, deploymentDirectory, environment);
  return { key, paths: cachedFolders(project, { environment: settled, isRoot: process.getuid?.() === 0 }) };
}
