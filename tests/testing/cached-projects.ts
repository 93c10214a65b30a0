import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { runCommand } from '@slipway/runner';
import type { PackageHost } from './package-host.ts';

/** A project whose dependencies one of the tools installs from the package host. */
export interface CachedProject {
  readonly name: string;
  /** Archives of the package host that are unpacked before anything else. */
  readonly tools: readonly string[];
  readonly files: Readonly<Record<string, string>>;
  readonly environment: Readonly<Record<string, string>>;
  /** Makes the lock file, with the tool on this host; where `files` has none. */
  readonly lock?: readonly string[];
  /** Commands of the first run. Those of the second one begin with what the cache must have brought. */
  readonly install: readonly string[];
  readonly installAgain: readonly string[];
  /** Whether `pulumi install` is what installs, and the program what uses it. */
  readonly isProgram: boolean;
  /** What both runs print once all is installed, and what the second one finds at its start. */
  readonly installed: string;
  readonly found: string;
}

const mkdirpIntegrity =
  'sha512-FP+p8RB8OWpF3YZBCrP5gtADmtXApB5AMLn+vdyA+PyxCjrCs00mjyUozssO33cwDeT3wNGdLxJ5M//YqtHAJw==';
const minimistIntegrity =
  'sha512-2yyAR8qBkN3YuheJanUpWC5U3bb5osDywNB8RzDVlDwDHbocAJveqqj1u8+SVD7jkWT4yvsHCpWqqWqAxb0zCA==';

function nodeProject(
  name: string,
  files: Readonly<Record<string, string>>,
  foundBy: Pick<CachedProject, 'installAgain' | 'found'>,
  environment: CachedProject['environment'] = {},
): CachedProject {
  return {
    name,
    tools: [name],
    files: {
      'Pulumi.yaml': `name: ${name}\nruntime: nodejs\nmain: index.js\n`,
      'package.json': '{"name": "p", "private": true, "dependencies": {"mkdirp": "0.5.6"}}\n',
      'index.js': "require('mkdirp');\nconsole.log('mkdirp', require('mkdirp/package.json').version);\n",
      ...files,
    },
    environment,
    install: [],
    ...foundBy,
    isProgram: true,
    installed: 'mkdirp 0.5.6',
  };
}

/** Counts what is restored, and takes it away: what the tool has downloaded must do. */
const modulesRestored = {
  installAgain: ['echo "restored: $(ls node_modules | wc -l)"', 'rm -rf node_modules'],
  found: 'restored: 2',
} as const;

export function npm({ url }: PackageHost): CachedProject {
  const resolved = (name: string, version: string) => `${url}/npm/${name}/-/${name}-${version}.tgz`;
  const lock = {
    name: 'p',
    lockfileVersion: 3,
    requires: true,
    packages: {
      '': { name: 'p', dependencies: { mkdirp: '0.5.6' } },
      'node_modules/minimist': {
        version: '1.2.8',
        resolved: resolved('minimist', '1.2.8'),
        integrity: minimistIntegrity,
      },
      'node_modules/mkdirp': {
        version: '0.5.6',
        resolved: resolved('mkdirp', '0.5.6'),
        integrity: mkdirpIntegrity,
        dependencies: { minimist: '^1.2.6' },
        bin: { mkdirp: 'bin/cmd.js' },
      },
    },
  };
  const files = {
    'package-lock.json': JSON.stringify(lock, undefined, 2),
    '.npmrc': `registry=${url}/npm/\n`,
  };
  return { ...nodeProject('npm', files, modulesRestored), tools: [] };
}

export function yarn({ url }: PackageHost): CachedProject {
  const resolved = (name: string, version: string) => `${url}/npm/${name}/-/${name}-${version}.tgz`;
  const lock = `# yarn lockfile v1


minimist@^1.2.6:
  version "1.2.8"
  resolved "${resolved('minimist', '1.2.8')}"
  integrity ${minimistIntegrity}

mkdirp@0.5.6:
  version "0.5.6"
  resolved "${resolved('mkdirp', '0.5.6')}"
  integrity ${mkdirpIntegrity}
  dependencies:
    minimist "^1.2.6"
`;
  return nodeProject('yarn', { 'yarn.lock': lock, '.npmrc': `registry=${url}/npm/\n` }, modulesRestored);
}

export function berry({ url, address }: PackageHost): CachedProject {
  const settings = `npmRegistryServer: ${url}/npm
unsafeHttpWhitelist: ["${address}"]
nodeLinker: node-modules
enableTelemetry: false
`;
  const lock = `__metadata:
  version: 10
  cacheKey: 10c0

"minimist@npm:^1.2.6":
  version: 1.2.8
  resolution: "minimist@npm:1.2.8"
  checksum: 10c0/19d3fcdca050087b84c2029841a093691a91259a47def2f18222f41e7645a0b7c44ef4b40e88a1e58a40c84d2ef0ee6047c55594d298146d0eb3f6b737c20ce6
  languageName: node
  linkType: hard

"mkdirp@npm:0.5.6":
  version: 0.5.6
  resolution: "mkdirp@npm:0.5.6"
  dependencies:
    minimist: "npm:^1.2.6"
  bin:
    mkdirp: bin/cmd.js
  checksum: 10c0/e2e2be789218807b58abced04e7b49851d9e46e88a2f9539242cc8a92c9b5c3a0b9bab360bd3014e02a140fc4fbc58e31176c408b493f8a2a6f4986bd7527b01
  languageName: node
  linkType: hard

"p@workspace:.":
  version: 0.0.0-use.local
  resolution: "p@workspace:."
  dependencies:
    mkdirp: "npm:0.5.6"
  languageName: unknown
  linkType: soft
`;
  return nodeProject('berry', { 'yarn.lock': lock, '.yarnrc.yml': settings }, modulesRestored);
}

export function pnpm({ url }: PackageHost): CachedProject {
  const lock = `lockfileVersion: '9.0'

settings:
  autoInstallPeers: true
  excludeLinksFromLockfile: false

importers:

  .:
    dependencies:
      mkdirp:
        specifier: 0.5.6
        version: 0.5.6

packages:

  minimist@1.2.8:
    resolution: {integrity: ${minimistIntegrity}}

  mkdirp@0.5.6:
    resolution: {integrity: ${mkdirpIntegrity}}
    hasBin: true

snapshots:

  minimist@1.2.8: {}

  mkdirp@0.5.6:
    dependencies:
      minimist: 1.2.8
`;
  return nodeProject(
    'pnpm',
    { 'pnpm-lock.yaml': lock, '.npmrc': `registry=${url}/npm/\n` },
    { installAgain: ['echo "restored: $(ls ~/.local/share/pnpm)"'], found: 'restored: store' },
    // Otherwise it looks for a newer pnpm once a day.
    { pnpm_config_update_notifier: 'false' },
  );
}

const importSix = `python -c 'import six; print("six", six.__version__)'`;
const runtimeOf = (toolchain: string) =>
  `runtime:\n  name: python\n  options:\n    toolchain: ${toolchain}\n`;

export function pip({ url, address }: PackageHost): CachedProject {
  return {
    name: 'pip',
    tools: ['python'],
    files: {
      'Pulumi.yaml': 'name: pip\nruntime:\n  name: python\n  options:\n    virtualenv: venv\n',
      'requirements.txt': 'six==1.17.0\n',
    },
    environment: { PIP_INDEX_URL: `${url}/simple/`, PIP_TRUSTED_HOST: address },
    install: [
      '[ -e venv ] || python3 -m venv venv',
      'venv/bin/pip install -r requirements.txt',
      `venv/bin/${importSix}`,
    ],
    installAgain: [],
    isProgram: false,
    installed: 'six 1.17.0',
    found: 'Requirement already satisfied: six==1.17.0',
  };
}

export function uv({ url, folder }: PackageHost): CachedProject {
  const settings = `[project]
name = "p"
version = "0.1.0"
requires-python = ">=3.9"
dependencies = ["six==1.17.0"]

[tool.uv]
package = false

[[tool.uv.index]]
url = "${url}/simple/"
default = true
`;
  return {
    name: 'uv',
    tools: ['python', 'uv'],
    files: { 'Pulumi.yaml': `name: uv\n${runtimeOf('uv')}`, 'pyproject.toml': settings },
    environment: { UV_PYTHON_DOWNLOADS: 'never' },
    lock: [join(folder, 'roots/uv/usr/local/bin/uv'), 'lock'],
    install: ['uv sync', `uv run --no-sync ${importSix}`],
    installAgain: ['echo "restored: $(ls -d ~/.cache/uv)"'],
    isProgram: false,
    installed: 'six 1.17.0',
    found: 'restored: /root/.cache/uv',
  };
}

export function poetry({ url, folder }: PackageHost): CachedProject {
  const settings = `[project]
name = "p"
version = "0.1.0"
requires-python = ">=3.9"
dependencies = ["six (==1.17.0)"]

[tool.poetry]
package-mode = false

[[tool.poetry.source]]
name = "local"
url = "${url}/simple/"
priority = "primary"
`;
  return {
    name: 'poetry',
    tools: ['python', 'poetry'],
    files: { 'Pulumi.yaml': `name: poetry\n${runtimeOf('poetry')}`, 'pyproject.toml': settings },
    environment: {},
    lock: [join(folder, 'roots/poetry/usr/local/bin/poetry'), 'lock', '--no-interaction'],
    install: ['poetry install --no-interaction', `~/.cache/pypoetry/virtualenvs/*/bin/${importSix}`],
    installAgain: [],
    isProgram: false,
    installed: 'six 1.17.0',
    found: 'No dependencies to install or update',
  };
}

export function go({ url }: PackageHost): CachedProject {
  const sums = `github.com/inconshreveable/mousetrap v1.1.0 h1:wN+x4NVGpMsO7ErUn/mUI3vEoE6Jt13X2s0bqwp9tc8=
github.com/inconshreveable/mousetrap v1.1.0/go.mod h1:vpF70FUmC8bwa3OWnCshd2FqLfsEA9PFc4w1p2J65bw=
`;
  const program = `package main

import "github.com/inconshreveable/mousetrap"

func main() { println("started by hand:", !mousetrap.StartedByExplorer()) }
`;
  return {
    name: 'go',
    tools: ['go'],
    files: {
      'Pulumi.yaml': 'name: go\nruntime: go\n',
      'go.mod': 'module p\n\ngo 1.21\n\nrequire github.com/inconshreveable/mousetrap v1.1.0\n',
      'go.sum': sums,
      'main.go': program,
    },
    environment: {
      ...{
        GOPROXY: `${url}/go`,
        GOSUMDB: 'off',
        GOTOOLCHAIN: 'local',
        GOFLAGS: '-buildvcs=false',
        CGO_ENABLED: '0',
      },
      PATH: '/usr/local/go/bin:/usr/local/bin:/usr/bin:/bin',
    },
    install: ['echo "packages compiled: $(go build -v -o /tmp/p . 2>&1 | wc -l)" && /tmp/p'],
    installAgain: [],
    isProgram: false,
    installed: 'started by hand: true',
    found: 'packages compiled: 0',
  };
}

/** Puts the project, with its lock file, into the folder `directory`. `home` is for the tool on this host. */
export async function writeProject(project: CachedProject, directory: string, home: string): Promise<void> {
  for (const [name, text] of Object.entries(project.files)) {
    await mkdir(dirname(join(directory, name)), { recursive: true });
    await writeFile(join(directory, name), text);
  }
  if (project.lock === undefined) return;
  const environment = { PATH: '/usr/bin:/bin', HOME: home, UV_PYTHON_DOWNLOADS: 'never' };
  await runCommand(project.lock, { workingDirectory: directory, environment });
}
