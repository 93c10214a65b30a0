import { join, resolve } from 'node:path';
import { cachedPath } from '@slipway/core';
import type { CachedProject, Installer } from './cached-project.ts';
import { foldersOfTool } from './tool-folders.ts';

/**
 * The folders that are worth keeping: what the tool installs and downloads, and always Pulumi's own plugins and policies.
 * They are where the environment of the steps says, relative to where the tools are started. Left out are those within
 * others, those of the system, and those that hold all of the project or of the home: that is no cache, and much of it
 * nobody else's business.
 */
export function cachedFolders(project: CachedProject, installer: Installer): string[] {
  const { projectDirectory } = project;
  const { environment } = installer;
  const home = environment.HOME ?? '/root';
  const pulumiHome = environment.PULUMI_HOME ?? join(home, '.pulumi');
  const wanted = [
    ...foldersOfTool(project, installer, home),
    join(pulumiHome, 'plugins'),
    join(pulumiHome, 'policies'),
  ].map((path) => resolve(projectDirectory, path));
  const usable = [...new Set(wanted)].filter(
    (path) =>
      cachedPath.safeParse(path).success && ![projectDirectory, home].some((whole) => isWithin(whole, path)),
  );
  return usable.filter((path) => !usable.some((other) => other !== path && isWithin(path, other)));
}

function isWithin(path: string, folder: string): boolean {
  return `${path}/`.startsWith(`${folder}/`);
}
