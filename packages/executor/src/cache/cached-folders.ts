import { join } from 'node:path';
import { cachedPath } from '@slipway/core';
import type { CachedProject, Installer } from './cached-project.ts';
import { foldersOfTool } from './tool-folders.ts';

/**
 * The folders that are worth keeping: what the tool installs and downloads, and always Pulumi's own plugins and policies.
 * They are where the environment of the steps says. Folders within others, and those of the system, are left out.
 */
export function cachedFolders(project: CachedProject, installer: Installer): string[] {
  const { environment } = installer;
  const home = environment.HOME ?? '/root';
  const pulumiHome = environment.PULUMI_HOME ?? join(home, '.pulumi');
  const wanted = [
    ...foldersOfTool(project, installer, home),
    join(pulumiHome, 'plugins'),
    join(pulumiHome, 'policies'),
  ];
  const usable = [...new Set(wanted)].filter((path) => cachedPath.safeParse(path).success);
  return usable.filter((path) => !usable.some((other) => path.startsWith(`${other}/`)));
}
