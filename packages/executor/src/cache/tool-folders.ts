import { delimiter, dirname, join, resolve } from 'node:path';
import type { Environment } from '../environment.ts';
import type { CachedProject, Installer } from './cached-project.ts';

/** Where the tool of a project installs to and keeps what it has downloaded, as its environment says. */
export function foldersOfTool(project: CachedProject, installer: Installer, home: string): string[] {
  const { lockFile, projectDirectory } = project;
  const { environment } = installer;
  const lockDirectory = dirname(lockFile.path);
  const cacheHome = environment.XDG_CACHE_HOME ?? join(home, '.cache');
  const modules = [join(projectDirectory, 'node_modules'), join(lockDirectory, 'node_modules')];
  switch (lockFile.tool) {
    case 'npm':
      return [...modules, anyCase(environment, 'npm_config_cache') ?? join(home, '.npm')];
    case 'yarn':
      // The lock files of Yarn 2 and later begin with a section of their own.
      if (!/^__metadata:/m.test(project.lockText)) return [...modules, classicYarnCache(installer, home)];
      return [...(keepsModules(environment) ? modules : []), ...laterYarnCaches(project, environment, home)];
    case 'pnpm':
      return [...pnpmStores(environment, home), ...pnpmCaches(environment, cacheHome)];
    case 'pip':
      return [...virtualEnvironment(project), environment.PIP_CACHE_DIR ?? join(cacheHome, 'pip')];
    case 'uv':
      return [environment.UV_CACHE_DIR ?? join(cacheHome, 'uv')];
    case 'poetry':
      return poetryFolders(project, environment, cacheHome);
    case 'go':
      return [
        environment.GOMODCACHE ?? join(firstGoPath(environment, home), 'pkg', 'mod'),
        environment.GOCACHE ?? join(cacheHome, 'go-build'),
      ];
    case 'dotnet':
      return [environment.NUGET_PACKAGES ?? join(home, '.nuget', 'packages')];
  }
}

/** npm takes its settings from the environment in capitals as well. */
function anyCase(environment: Environment, name: string): string | undefined {
  return environment[name] ?? environment[name.toUpperCase()];
}

/**
 * Plug'n'Play, which is the default, has no `node_modules` and removes those that it finds; the linker `pnpm` makes hard
 * links to the global folder, and fails where a disk of the cache lies between.
 */
function keepsModules({ YARN_NODE_LINKER }: Environment): boolean {
  return YARN_NODE_LINKER === 'node-modules';
}

/** `enableGlobalCache` decides between the two; from Yarn 4 on it is set unless the project says otherwise. */
function laterYarnCaches({ lockFile }: CachedProject, environment: Environment, home: string): string[] {
  const globalFolder =
    environment.YARN_GLOBAL_FOLDER ??
    (environment.XDG_DATA_HOME === undefined
      ? join(home, '.yarn', 'berry')
      : join(environment.XDG_DATA_HOME, 'yarn', 'berry'));
  const ownFolder = environment.YARN_CACHE_FOLDER ?? join(dirname(lockFile.path), '.yarn', 'cache');
  return [join(globalFolder, 'cache'), ownFolder];
}

/** Root's cache is shared by the machine, wherever root's home is (yarn 1.22: src/util/user-home-dir.js). */
function classicYarnCache({ environment, isRoot }: Installer, home: string): string {
  const cacheHome = environment.XDG_CACHE_HOME ?? join(isRoot ? '/usr/local/share' : home, '.cache');
  return environment.YARN_CACHE_FOLDER ?? join(cacheHome, 'yarn');
}

/** Each version reads other settings than the one before: the place that one names, and the usual one. */
function pnpmStores(environment: Environment, home: string): string[] {
  const dataHome = environment.XDG_DATA_HOME ?? join(home, '.local', 'share');
  const pnpmHome = environment.PNPM_HOME ?? join(dataHome, 'pnpm');
  return [...pnpmSetting(environment, 'store_dir'), join(pnpmHome, 'store')];
}

/** What the registry told, and which lock files were checked with it: without that, pnpm asks for each package anew. */
function pnpmCaches(environment: Environment, cacheHome: string): string[] {
  return [...pnpmSetting(environment, 'cache_dir'), join(cacheHome, 'pnpm')];
}

/** Up to its version 10 pnpm takes its settings as npm does, since then under its own name. */
function pnpmSetting(environment: Environment, name: string): string[] {
  const values = [anyCase(environment, `pnpm_config_${name}`), anyCase(environment, `npm_config_${name}`)];
  return values.filter((value) => value !== undefined);
}

/** Where the project file has pip install to; without one, packages go into the image's own Python. */
function virtualEnvironment({ runtime, projectDirectory }: CachedProject): string[] {
  const { virtualenv } = runtime.options;
  return typeof virtualenv === 'string' && virtualenv !== '' ? [resolve(projectDirectory, virtualenv)] : [];
}

/**
 * Virtual environments are in the cache folder, where they were put, or in the project's. The last only where that is
 * said: once the folder is there, and a disk of the cache needs it to be, Poetry would use it.
 */
function poetryFolders({ lockFile }: CachedProject, environment: Environment, cacheHome: string): string[] {
  const isInProject = /^(true|1)$/i.test(environment.POETRY_VIRTUALENVS_IN_PROJECT ?? '');
  const cache = environment.POETRY_CACHE_DIR ?? join(cacheHome, 'pypoetry');
  const virtualEnvironments = environment.POETRY_VIRTUALENVS_PATH?.replace('{cache-dir}', cache);
  return [
    ...(isInProject ? [join(dirname(lockFile.path), '.venv')] : []),
    cache,
    ...(virtualEnvironments === undefined ? [] : [virtualEnvironments]),
  ];
}

/** Modules go to the first of several folders. */
function firstGoPath({ GOPATH }: Environment, home: string): string {
  return GOPATH?.split(delimiter)[0] || join(home, 'go');
}
