import { dirname, join, resolve } from 'node:path';
import type { CachedTool } from '@slipway/core';
import type { Environment } from '../environment.ts';
import type { CachedProject } from './cached-project.ts';
import { namedValues } from './named-values.ts';
import { sourceText } from './source-file.ts';

/** Larger ones are left out, and so are longer values, which are no folders (`cachedPath`): strangers write them. */
const maximumFileBytes = 64 * 1024;
const maximumValueCharacters = 1024;

/** Where the settings of a tool are looked for. */
interface Places {
  /** Folder of the lock file. */
  readonly lockDirectory: string;
  /** Folders from the project's up to the top of the source. */
  readonly directories: readonly string[];
  readonly home: string;
  readonly configHome: string;
  readonly environment: Environment;
}

/** What decides where a tool keeps what it installs and downloads. */
interface SettingsKind {
  /** Those that count first at the start. */
  readonly files: (places: Places) => readonly string[];
  /** Settings that name folders, with the variable of the environment that says the same. */
  readonly folders: Readonly<Record<string, string>>;
  /** Other settings. */
  readonly words?: Readonly<Record<string, string>>;
  /** Makes names one that are one to the tool. */
  readonly normalized?: (name: string) => string;
  /** Whether folders are relative to the file that names them, and not to the folder in which the tool is started. */
  readonly isRelativeToFile: boolean;
}

/** As npm 11, Yarn 1.22 and 4, pnpm 10 and 12, pip 23, uv 0.13, Poetry 2.5, Go 1.26 and NuGet 5.4 read them. */
const kinds: Readonly<Record<CachedTool, SettingsKind>> = {
  npm: {
    files: ({ lockDirectory, home }) => [join(lockDirectory, '.npmrc'), join(home, '.npmrc')],
    folders: { cache: 'NPM_CONFIG_CACHE' },
    isRelativeToFile: false,
  },
  yarn: {
    files: ({ directories, home }) =>
      ['.yarnrc.yml', '.yarnrc'].flatMap((name) => [...directories, home].map((each) => join(each, name))),
    folders: {
      cacheFolder: 'YARN_CACHE_FOLDER',
      'cache-folder': 'YARN_CACHE_FOLDER',
      globalFolder: 'YARN_GLOBAL_FOLDER',
    },
    words: { nodeLinker: 'YARN_NODE_LINKER' },
    isRelativeToFile: true,
  },
  // Up to its version 10 pnpm takes them from npm's files as well.
  pnpm: {
    files: ({ lockDirectory, home, configHome }) => [
      join(lockDirectory, 'pnpm-workspace.yaml'),
      join(lockDirectory, '.npmrc'),
      join(configHome, 'pnpm', 'config.yaml'),
      join(home, '.npmrc'),
      join(configHome, 'pnpm', 'rc'),
    ],
    folders: {
      storeDir: 'NPM_CONFIG_STORE_DIR',
      'store-dir': 'NPM_CONFIG_STORE_DIR',
      cacheDir: 'NPM_CONFIG_CACHE_DIR',
      'cache-dir': 'NPM_CONFIG_CACHE_DIR',
    },
    isRelativeToFile: true,
  },
  pip: {
    files: ({ environment, home, configHome }) => [
      ...(environment.PIP_CONFIG_FILE === undefined ? [] : [environment.PIP_CONFIG_FILE]),
      join(configHome, 'pip', 'pip.conf'),
      join(home, '.pip', 'pip.conf'),
      '/etc/pip.conf',
    ],
    folders: { 'install.cache-dir': 'PIP_CACHE_DIR', 'global.cache-dir': 'PIP_CACHE_DIR' },
    normalized: (name) => name.replace(/[^.]+$/, (own) => own.toLowerCase().replaceAll('_', '-')),
    isRelativeToFile: false,
  },
  uv: {
    files: ({ directories, configHome }) => [
      ...directories.flatMap((each) => [join(each, 'uv.toml'), join(each, 'pyproject.toml')]),
      join(configHome, 'uv', 'uv.toml'),
      '/etc/uv/uv.toml',
    ],
    folders: { 'cache-dir': 'UV_CACHE_DIR', 'tool.uv.cache-dir': 'UV_CACHE_DIR' },
    isRelativeToFile: false,
  },
  poetry: {
    files: ({ lockDirectory, configHome }) => [
      join(lockDirectory, 'poetry.toml'),
      join(configHome, 'pypoetry', 'config.toml'),
    ],
    folders: { 'cache-dir': 'POETRY_CACHE_DIR', 'virtualenvs.path': 'POETRY_VIRTUALENVS_PATH' },
    words: { 'virtualenvs.in-project': 'POETRY_VIRTUALENVS_IN_PROJECT' },
    isRelativeToFile: false,
  },
  go: {
    files: ({ environment, configHome }) => [environment.GOENV ?? join(configHome, 'go', 'env')],
    folders: { GOPATH: 'GOPATH', GOMODCACHE: 'GOMODCACHE', GOCACHE: 'GOCACHE' },
    isRelativeToFile: false,
  },
  dotnet: {
    files: ({ directories, home }) => [
      ...directories.flatMap((each) =>
        ['nuget.config', 'NuGet.config', 'NuGet.Config'].map((name) => join(each, name)),
      ),
      join(home, '.nuget', 'NuGet', 'NuGet.Config'),
    ],
    folders: { globalPackagesFolder: 'NUGET_PACKAGES' },
    isRelativeToFile: true,
  },
};

/**
 * The environment of the steps, and behind it what the settings of the project's tool say of its folders, as the variables
 * that say the same: with nearly every tool, variables win over files. Those of the source count up to its folder `top`,
 * then the user's.
 */
export async function withToolSettings(
  { lockFile, projectDirectory }: CachedProject,
  top: string,
  environment: Environment,
): Promise<Environment> {
  const home = environment.HOME ?? '/root';
  const { files, folders, words, normalized, isRelativeToFile } = kinds[lockFile.tool];
  const places = {
    lockDirectory: dirname(lockFile.path),
    directories: foldersUpTo(top, projectDirectory),
    home,
    configHome: environment.XDG_CONFIG_HOME ?? join(home, '.config'),
    environment,
  };
  const settings: Record<string, string> = {};
  for (const file of files(places)) {
    const values = namedValues(await textOf(file), normalized);
    for (const [name, variable] of Object.entries({ ...folders, ...words })) {
      const value = values.get(name);
      if (value === undefined || value === '' || value.length > maximumValueCharacters) continue;
      const meant = expand(value, home, environment);
      settings[variable] ??= isRelativeToFile && name in folders ? resolve(dirname(file), meant) : meant;
    }
  }
  return { ...settings, ...environment };
}

/** The empty string where there is no such file, or none that can be read. */
async function textOf(file: string): Promise<string> {
  const text = await sourceText(file, maximumFileBytes).catch(() => null);
  return text ?? '';
}

function foldersUpTo(top: string, directory: string): string[] {
  const isLast = directory === top || directory === dirname(directory);
  return isLast ? [directory] : [directory, ...foldersUpTo(top, dirname(directory))];
}

/**
 * `${NAME}`, with what the tools put behind it for names that are not set (`?` of npm: nothing; `-default`; `:-default`
 * also for empty ones), and `%NAME%` stand for variables, and `~/` for the home folder, where tools allow it.
 */
function expand(value: string, home: string, environment: Environment): string {
  return value
    .replace(/\$\{(\w+)(?:(\?|:?-)([^}]*))?\}/g, (text, name, operator, otherwise) => {
      const found = operator === ':-' ? environment[name] || undefined : environment[name];
      return found ?? otherwise ?? text;
    })
    .replace(/%(\w+)%/g, (text, name) => environment[name] ?? text)
    .replace(/^~(?=\/)/, home);
}
