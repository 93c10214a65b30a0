import { chmod, mkdir, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { cacheDirectory, runCommand } from '@slipway/runner';
import { contentKey } from '../../packages/runner/src/setup/content-key.ts';
import { archiveDebian } from '../../packages/runner/src/setup/default-image/debian-root.ts';
import { ensureGoToolchain } from '../../packages/runner/src/setup/go-toolchain.ts';
import { makeOnce } from '../../packages/runner/src/setup/make-once.ts';
import { registryEnvironment } from '../../packages/runner/src/setup/registry-environment.ts';
import { dotnetRecipe, installDotnet, packDotnetPackage } from './dotnet-sdk.ts';
import { npmPackages, pythonPackage } from './package-index.ts';

const nodeTools = {
  yarn: 'yarn@1.22.22',
  berry: '@yarnpkg/cli-dist@4.18.1',
  pnpm: 'pnpm@12.21.0',
} as const;
const pythonTools = { uv: 'uv==0.13.9', poetry: 'poetry==2.5.1' } as const;
/** One that needs nothing of the standard library, which would all be compiled. */
export const goModule = { path: 'github.com/inconshreveable/mousetrap', version: 'v1.1.0' } as const;

/** Of this host, and of the same release as that of the default image. */
export const hostPython = '/usr/bin/python3';
const report = () => {};
const environment = registryEnvironment();

/**
 * The tools whose packages are cached, and some packages for them, from their registries, kept in the cache. Answers a
 * folder: `tools/NAME.tar`, a tool for the root of a sandbox; `roots/NAME`, those in Python and that of .NET for this
 * host, unpacked; `npm`, `python`, `go` and `nuget`, the packages. Takes a minute the first time.
 */
export async function ensurePackageTools(): Promise<string> {
  const recipe = [
    'package tools 5',
    ...Object.values(nodeTools),
    ...Object.values(pythonTools),
    ...dotnetRecipe,
  ];
  const packages = [...npmPackages.map(({ name, version }) => `${name}@${version}`), pythonPackage.version];
  const cache = cacheDirectory(process.env);
  const folder = join(cache, 'test-tools', contentKey([...recipe, ...packages, goModule.version]));
  await makeOnce(folder, async (partialFolder) => {
    const roots = join(partialFolder, 'roots');
    await mkdir(join(partialFolder, 'tools'), { recursive: true });
    await Promise.all([
      installNodeTools(roots).then(() => fetchNpmPackages(join(partialFolder, 'npm'))),
      installPythonTools(roots, join(partialFolder, 'python')),
      installDotnet(join(roots, 'dotnet')).then(() =>
        packDotnetPackage(join(roots, 'dotnet/usr/local/bin/dotnet'), join(partialFolder, 'nuget')),
      ),
      archiveDebian(join(partialFolder, 'tools/python.tar'), 'extract', ['python3-venv'], { report }),
    ]);
    const go = await ensureGoToolchain({ cacheDirectory: cache, report });
    await fetchGoModule(go, partialFolder);
    await archiveGo(go, join(partialFolder, 'tools/go.tar'));
    for (const name of [...Object.keys(nodeTools), ...Object.keys(pythonTools), 'dotnet']) {
      await runCommand([
        'tar',
        '-cf',
        join(partialFolder, `tools/${name}.tar`),
        '-C',
        join(roots, name),
        './usr',
      ]);
    }
    for (const name of Object.keys(nodeTools)) await rm(join(roots, name), { recursive: true });
  });
  return folder;
}

async function installNodeTools(roots: string): Promise<void> {
  for (const [name, specifier] of Object.entries(nodeTools)) {
    const prefix = join(roots, name, 'usr/local');
    await mkdir(prefix, { recursive: true });
    await runCommand(
      [
        'npm',
        'install',
        '--global',
        '--no-fund',
        '--no-audit',
        `--allow-scripts=${name}`,
        '--prefix',
        prefix,
        specifier,
      ],
      { environment },
    );
  }
}

/** As the registry has them: `mkdirp/-/mkdirp-0.5.6.tgz`. */
async function fetchNpmPackages(folder: string): Promise<void> {
  for (const { name, version } of npmPackages) {
    const files = join(folder, name, '-');
    await mkdir(files, { recursive: true });
    await runCommand(['npm', 'pack', '--pack-destination', files, `${name}@${version}`], { environment });
  }
}

async function installPythonTools(roots: string, packages: string): Promise<void> {
  const work = `${packages}.work`;
  await runCommand([hostPython, '-m', 'venv', work]);
  const pip = [join(work, 'bin/python'), '-m', 'pip', '--quiet', '--disable-pip-version-check'];
  for (const [name, specifier] of Object.entries(pythonTools)) {
    const library = join(roots, name, 'usr/local/lib', name);
    await runCommand([...pip, 'install', '--target', library, specifier], { environment });
    await mkdir(join(roots, name, 'usr/local/bin'), { recursive: true });
  }
  await symlink('../lib/uv/bin/uv', join(roots, 'uv/usr/local/bin/uv'));
  await writePoetryStarter(join(roots, 'poetry/usr/local/bin/poetry'));
  const { name, version } = pythonPackage;
  await runCommand([...pip, 'download', '--no-deps', '--dest', packages, `${name}==${version}`], {
    environment,
  });
  await rm(work, { recursive: true });
}

/** Finds its library beside itself, and hides it from the interpreters that Poetry starts. */
async function writePoetryStarter(path: string): Promise<void> {
  const lines = [
    `#!${hostPython}`,
    'import os, sys',
    "sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), '../lib/poetry'))",
    'from poetry.console.application import main',
    'sys.exit(main())',
  ];
  await writeFile(path, `${lines.join('\n')}\n`);
  await chmod(path, 0o755);
}

/** What Go has downloaded is laid out as a module proxy. */
async function fetchGoModule(go: string, folder: string): Promise<void> {
  const modules = join(folder, 'modules');
  await runCommand([go, 'mod', 'download', `${goModule.path}@${goModule.version}`], {
    environment: { ...environment, GOMODCACHE: modules, GOFLAGS: '-modcacherw', GOSUMDB: 'off' },
    workingDirectory: folder,
  });
  await rename(join(modules, 'cache/download'), join(folder, 'go'));
  await rm(modules, { recursive: true });
}

/** What `go build` needs of the toolchain, for programs that need nothing of the standard library. */
async function archiveGo(go: string, path: string): Promise<void> {
  const root = (await runCommand([go, 'env', 'GOROOT'])).trim();
  const leftOut = [
    '*_test.go',
    'testdata',
    ...['cgo', 'cover', 'fix', 'vet'].map((name) => `pkg/tool/*/${name}`),
  ];
  const sources = ['go.mod', 'internal', 'math', 'runtime', 'unsafe'].map((name) => `src/${name}`);
  await runCommand([
    ...['tar', '-cf', path, '-C', root, ...leftOut.map((pattern) => `--exclude=${pattern}`)],
    ...[
      '--transform=s,^,./usr/local/go/,',
      'VERSION',
      'go.env',
      'bin/go',
      'pkg/include',
      'pkg/tool',
      ...sources,
    ],
  ]);
}
