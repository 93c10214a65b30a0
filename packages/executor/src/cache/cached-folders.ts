import { dirname, join, resolve } from 'node:path';
import { cachedPath } from '@slipway/core';
import type { Environment } from '../environment.ts';
import type { LockFile } from './lock-file.ts';
import type { ProjectRuntime } from './project-runtime.ts';

export interface CachedProject {
  readonly runtime: ProjectRuntime;
  readonly lockFile: LockFile;
  /** Text of the lock file. */
  readonly lockText: string;
  readonly projectDirectory: string;
}

/**
 * The folders that are worth keeping: what the tool installs and downloads, and always Pulumi's own plugins and policies.
 * They are where the environment of the steps says. Folders within others, and those of the system, are left out.
 */
export function cachedFolders(project: CachedProject, environment: Environment): string[] {
  const home = environment.HOME ?? '/root';
  const pulumiHome = environment.PULUMI_HOME ?? join(home, '.pulumi');
  const wanted = [
    ...foldersOfTool(project, environment, home),
    join(pulumiHome, 'plugins'),
    join(pulumiHome, 'policies'),
  ];
  const usable = [...new Set(wanted)].filter((path) => cachedPath.safeParse(path).success);
  return usable.filter((path) => !usable.some((other) => path.startsWith(`${other}/`)));
}

function foldersOfTool(project: CachedProject, environment: Environment, home: string): string[] {
  const { lockFile, projectDirectory } = project;
  const lockDirectory = dirname(lockFile.path);
  const cacheHome = environment.XDG_CACHE_HOME ?? join(home, '.cache');
  const modules = [join(projectDirectory, 'node_modules'), join(lockDirectory, 'node_modules')];
  switch (lockFile.tool) {
    case 'npm':
      return [...modules, environment.npm_config_cache ?? join(home, '.npm')];
    case 'yarn':
      return [...modules, environment.YARN_CACHE_FOLDER ?? yarnCache(project.lockText, cacheHome, home)];
    case 'pnpm': {
      const dataHome = environment.XDG_DATA_HOME ?? join(home, '.local', 'share');
      return [environment.npm_config_store_dir ?? join(dataHome, 'pnpm', 'store')];
    }
    case 'pip':
      return [...virtualEnvironment(project), environment.PIP_CACHE_DIR ?? join(cacheHome, 'pip')];
    case 'uv':
      return [environment.UV_CACHE_DIR ?? join(cacheHome, 'uv')];
    case 'poetry':
      return [join(lockDirectory, '.venv'), environment.POETRY_CACHE_DIR ?? join(cacheHome, 'pypoetry')];
    case 'go':
      return [
        environment.GOMODCACHE ?? join(environment.GOPATH ?? join(home, 'go'), 'pkg', 'mod'),
        environment.GOCACHE ?? join(cacheHome, 'go-build'),
      ];
    case 'dotnet':
      return [environment.NUGET_PACKAGES ?? join(home, '.nuget', 'packages')];
  }
}

/** The lock files of Yarn 2 and later begin with a section of their own. */
function yarnCache(lockText: string, cacheHome: string, home: string): string {
  const isClassic = !/^__metadata:/m.test(lockText);
  return isClassic ? join(cacheHome, 'yarn') : join(home, '.yarn', 'berry', 'cache');
}

/** Where the project file has pip install to; without one, packages go into the image's own Python. */
function virtualEnvironment({ runtime, projectDirectory }: CachedProject): string[] {
  const { virtualenv } = runtime.options;
  return typeof virtualenv === 'string' && virtualenv !== '' ? [resolve(projectDirectory, virtualenv)] : [];
}
