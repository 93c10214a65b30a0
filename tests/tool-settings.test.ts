import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join, resolve } from 'node:path';
import { runCommand } from '@slipway/runner';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { cachedFolders } from '../packages/executor/src/cache/cached-folders.ts';
import { findLockFile } from '../packages/executor/src/cache/lock-file.ts';
import { projectRuntime } from '../packages/executor/src/cache/project-runtime.ts';
import { withToolSettings } from '../packages/executor/src/cache/tool-settings.ts';
import { ensurePackageTools, hostPython } from './testing/package-tools.ts';

/** Where Debian has the pip that goes into virtual environments. */
const wheels = '/usr/share/python-wheels';

let folder: string;
let tools: string;
let pipWheel: string;
beforeAll(async () => {
  tools = await ensurePackageTools();
  folder = await mkdtemp(join(tmpdir(), 'slipway-tool-settings-'));
  for (const name of ['yarn', 'berry', 'pnpm', 'go']) {
    await mkdir(join(folder, name));
    await runCommand(['tar', '-xf', join(tools, `tools/${name}.tar`), '-C', join(folder, name)]);
  }
  pipWheel = (await readdir(wheels)).find((name) => name.startsWith('pip-')) ?? '';
}, 600_000);
// Go goes on writing for a moment, about itself.
afterAll(() => rm(folder, { recursive: true, force: true, maxRetries: 10 }));

/** What a tool is asked, to tell one of its folders. */
const questions = {
  npm: () => ['npm', 'config', 'get', 'cache'],
  yarn: () => [join(folder, 'yarn/usr/local/bin/yarn'), 'cache', 'dir'],
  berry: () => [join(folder, 'berry/usr/local/bin/yarn'), 'config', 'get', 'cacheFolder'],
  pnpm: () => [join(folder, 'pnpm/usr/local/bin/pnpm'), 'store', 'path'],
  pip: () => [hostPython, '-m', 'pip', 'cache', 'dir'],
  uv: () => [join(tools, 'roots/uv/usr/local/bin/uv'), 'cache', 'dir'],
  poetry: () => [join(tools, 'roots/poetry/usr/local/bin/poetry'), 'config', 'cache-dir'],
  'poetry environments': () => [
    join(tools, 'roots/poetry/usr/local/bin/poetry'),
    'config',
    'virtualenvs.path',
  ],
  go: () => [join(folder, 'go/usr/local/go/bin/go'), 'env', 'GOMODCACHE'],
  dotnet: () => [
    join(tools, 'roots/dotnet/usr/local/bin/dotnet'),
    ...['nuget', 'locals', 'global-packages', '--list'],
  ],
} as const;

const projects = {
  npm: ['nodejs', { 'package-lock.json': '{}' }],
  yarn: ['nodejs', { 'yarn.lock': '# yarn lockfile v1\n' }],
  berry: ['nodejs', { 'yarn.lock': '__metadata:\n  version: 10\n' }],
  pnpm: ['nodejs', { 'pnpm-lock.yaml': "lockfileVersion: '9.0'\n" }],
  pip: ['python', { 'requirements.txt': '' }],
  uv: ['python', { 'uv.lock': 'version = 1\n' }],
  poetry: ['python', { 'poetry.lock': '' }],
  'poetry environments': ['python', { 'poetry.lock': '' }],
  go: ['go', { 'go.sum': '' }],
  dotnet: ['dotnet', { 'packages.lock.json': '{}' }],
} as const;

const nugetConfig = (packages: string) =>
  `<configuration>
  <!-- <config><add key="globalPackagesFolder" value="/o" /></config> -->
  <config><add key="globalPackagesFolder" value="${packages}" /></config>
</configuration>
`;
const pythonProject = '[project]\nname = "p"\nversion = "0.1.0"\n';

/** By the file, which is the user's own behind `~/`, and by the program's folder where that is below the lock file's. */
test.each<[keyof typeof questions, string, string, string?]>([
  ['npm', '.npmrc', 'cache=./c\n'],
  ['npm', '~/.npmrc', `; of the user\n cache = "\${HOME}/c"\n`],
  ['npm', '.npmrc', `cache=/\${OTHER?}c\n`],
  ['npm', '.npmrc', `cache=./\${OTHER}/c\n`],
  ['npm', '.npmrc', `cache=\${EMPTY}/c\n`],
  // From where npm is started.
  ['npm', '.npmrc', 'cache=./c\n', 'program'],
  ['npm', '~/.npmrc', 'cache=./c\n', 'program'],
  ['yarn', '.yarnrc', 'cache-folder "./c"\n'],
  ['berry', '.yarnrc.yml', `enableGlobalCache: false\ncacheFolder: "\${OTHER:-./c}" # of the project\n`],
  ['berry', '.yarnrc.yml', `enableGlobalCache: false\ncacheFolder: "\${EMPTY:-./c}"\n`],
  ['berry', '.yarnrc.yml', `enableGlobalCache: false\ncacheFolder: "\${EMPTY-./c}/e"\n`],
  ['berry', '~/.yarnrc.yml', 'globalFolder: /g\n'],
  ['pnpm', 'pnpm-workspace.yaml', "storeDir: './s'\n"],
  ['pnpm', '~/.config/pnpm/config.yaml', 'storeDir: /s\n'],
  // Which pnpm 10 reads.
  ['pnpm', '.npmrc', 'store-dir=/s\n'],
  ['pip', '~/.config/pip/pip.conf', '[install]\nno-deps = true\n[global]\ncache-dir = ~/c\n'],
  ['pip', '~/.config/pip/pip.conf', '[global]\nCache_Dir = ~/c\n'],
  ['uv', 'pyproject.toml', `${pythonProject}[tool.uv]\ncache-dir = "./c"\n[tool.ruff]\ncache-dir = "./r"\n`],
  ['uv', 'uv.toml', "cache-dir = '/c'\n"],
  ['poetry', 'poetry.toml', 'cache-dir = "c"\n'],
  ['poetry environments', 'poetry.toml', '[virtualenvs]\npath = "{cache-dir}/../v"\n'],
  ['go', '~/.config/go/env', 'GOMODCACHE=/m\n'],
  ['go', '~/.config/go/env', 'GOPATH=/a:/b\n'],
  ['dotnet', 'nuget.config', nugetConfig('./c')],
  ['dotnet', 'NuGet.Config', nugetConfig('%HOME%/c'), 'program'],
  ['dotnet', '~/.nuget/NuGet/NuGet.Config', nugetConfig('/c')],
])(
  'the folder of %s is kept in the cache where %s names it: %j',
  async (tool, file, text, program = '') => {
    const top = await mkdtemp(join(folder, 'case-'));
    const [runtimeName, lock] = projects[tool];
    const home = join(top, 'home');
    const projectDirectory = join(top, 'project', program);
    const files = {
      [join('project', program, 'Pulumi.yaml')]: `name: p\nruntime: ${runtimeName}\n`,
      'project/package.json': '{"name": "p", "private": true}\n',
      'project/pyproject.toml': pythonProject,
      ...Object.fromEntries(Object.entries(lock).map(([name, content]) => [`project/${name}`, content])),
      [file.startsWith('~') ? `home${file.slice(1)}` : `project/${file}`]: text,
    };
    for (const [name, content] of Object.entries(files)) {
      await mkdir(dirname(join(top, name)), { recursive: true });
      await writeFile(join(top, name), content);
    }

    const environment = { HOME: home, EMPTY: '' };
    const answer = await runCommand(questions[tool](), {
      workingDirectory: projectDirectory,
      environment: {
        ...environment,
        PATH: [dirname(process.execPath), process.env.PATH].join(delimiter),
        PYTHONPATH: join(wheels, pipWheel),
      },
    });
    // After what it is an answer to, where a tool says that.
    const used = resolve(projectDirectory, answer.trim().split(': ').at(-1) ?? '');

    const runtime = await projectRuntime(projectDirectory, top);
    if (runtime === null) throw new Error('the project has no runtime');
    const lockFile = await findLockFile(runtime, projectDirectory, top);
    const project = { runtime, lockFile, lockText: await readFile(lockFile.path, 'utf8'), projectDirectory };
    const settled = await withToolSettings(project, top, environment);
    const folders = cachedFolders(project, { environment: settled, isRoot: process.getuid?.() === 0 });
    const holds = folders.filter((each) => `${used}/`.startsWith(`${each}/`));
    expect(holds, `${used} is not below ${folders.join(', ')}`).toHaveLength(1);
  },
  60_000,
);
