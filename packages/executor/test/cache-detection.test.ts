import { createHash } from 'node:crypto';
import { join } from 'node:path';
import type { CacheTransfer } from '@slipway/core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import * as z from 'zod';
import {
  berryLock,
  detect,
  goSum,
  nodejs,
  npmLock,
  nugetLock,
  pnpmLock,
  poetryLock,
  python,
  uvLock,
  withOptions,
  yarnLock,
} from './testing/detected-project.ts';
import { ExecutorProcess } from './testing/executor-process.ts';
import { ServedProgram } from './testing/served-program.ts';

const pulumi = ['/home/u/.pulumi/plugins', '/home/u/.pulumi/policies'];

describe('the tool, its key file and the folders that are kept', () => {
  test.each([
    ['npm', nodejs, { 'package-lock.json': npmLock }, ['node_modules', '/home/u/.npm']],
    ['yarn', nodejs, { 'yarn.lock': yarnLock }, ['node_modules', '/home/u/.cache/yarn']],
    [
      'yarn',
      nodejs,
      { 'yarn.lock': berryLock, '.yarnrc.yml': 'nodeLinker: node-modules\n' },
      ['node_modules', '/home/u/.yarn/berry/cache', '.yarn/cache'],
    ],
    // Neither a linker without `node_modules` nor one that makes hard links to them, which no disk of the cache takes.
    ['yarn', nodejs, { 'yarn.lock': berryLock }, ['/home/u/.yarn/berry/cache', '.yarn/cache']],
    [
      'yarn',
      nodejs,
      { 'yarn.lock': berryLock, '.yarnrc.yml': 'nodeLinker: pnpm\n' },
      ['/home/u/.yarn/berry/cache', '.yarn/cache'],
    ],
    [
      'pnpm',
      nodejs,
      { 'pnpm-lock.yaml': pnpmLock },
      ['/home/u/.local/share/pnpm/store', '/home/u/.cache/pnpm'],
    ],
    [
      'pip',
      withOptions('python', 'virtualenv: venv'),
      { 'requirements.txt': 'six==1.17.0\n' },
      ['venv', '/home/u/.cache/pip'],
    ],
    ['pip', python, { 'requirements.txt': 'six==1.17.0\n' }, ['/home/u/.cache/pip']],
    ['uv', withOptions('python', 'toolchain: uv'), { 'uv.lock': uvLock }, ['/home/u/.cache/uv']],
    [
      'poetry',
      withOptions('python', 'toolchain: poetry'),
      { 'poetry.lock': poetryLock },
      ['/home/u/.cache/pypoetry'],
    ],
    [
      'go',
      { 'Pulumi.yaml': 'name: p\nruntime: go\n' },
      { 'go.sum': goSum, 'go.mod': 'module p\n' },
      ['/home/u/go/pkg/mod', '/home/u/.cache/go-build'],
    ],
    [
      'dotnet',
      { 'Pulumi.yaml': 'name: p\nruntime: dotnet\n' },
      { 'packages.lock.json': nugetLock, 'Infra.csproj': '<Project/>' },
      ['/home/u/.nuget/packages'],
    ],
  ])('%s', async (tool, project, lock, folders) => {
    const [lockFile = ''] = Object.keys(lock);
    const detected = await detect({ ...project, ...lock });
    expect(detected).toEqual({ tool, lockFile, folders: [...folders, ...pulumi] });
  });

  test('go without go.sum goes by go.mod, dotnet without packages.lock.json by its project file', async () => {
    const go = await detect({ 'Pulumi.yaml': 'name: p\nruntime: go\n', 'go.mod': 'module p\n' });
    expect(go).toMatchObject({ tool: 'go', lockFile: 'go.mod' });
    const dotnet = { 'Pulumi.yaml': 'name: p\nruntime: dotnet\n', 'Infra.fsproj': '<Project/>' };
    expect(await detect(dotnet)).toMatchObject({ tool: 'dotnet', lockFile: 'Infra.fsproj' });
  });

  test('a lock file above the project counts, the nearest one first, and its packages lie beside it', async () => {
    const files = { 'infra/Pulumi.yaml': nodejs['Pulumi.yaml'], 'package-lock.json': npmLock };
    expect(await detect(files, 'infra')).toMatchObject({
      lockFile: 'package-lock.json',
      folders: ['infra/node_modules', 'node_modules', '/home/u/.npm', ...pulumi],
    });
    const both = { ...files, 'infra/yarn.lock': yarnLock };
    expect(await detect(both, 'infra')).toMatchObject({ tool: 'yarn', lockFile: 'infra/yarn.lock' });
  });

  test('root has a cache of classic Yarn where the whole machine has it', async () => {
    const { folders } = await detect({ ...nodejs, 'yarn.lock': yarnLock }, '', {}, true);
    expect(folders).toEqual(['node_modules', '/usr/local/share/.cache/yarn', ...pulumi]);
  });

  const yarnProject = { ...nodejs, 'yarn.lock': yarnLock };
  const berryProject = { ...nodejs, 'yarn.lock': berryLock };
  const pnpmProject = { ...nodejs, 'pnpm-lock.yaml': pnpmLock };
  const poetryProject = { ...withOptions('python', 'toolchain: poetry'), 'poetry.lock': poetryLock };
  const goProject = { 'Pulumi.yaml': 'name: p\nruntime: go\n', 'go.sum': goSum };
  const dotnetProject = { 'Pulumi.yaml': 'name: p\nruntime: dotnet\n', 'packages.lock.json': nugetLock };
  const nugetSettings = `<configuration><config><add key="globalPackagesFolder" value='./packages' /></config></configuration>`;
  test.each<[string, Record<string, string>, Record<string, string>]>([
    ['/c', { ...nodejs, 'package-lock.json': npmLock }, { NPM_CONFIG_CACHE: '/c' }],
    ['/c/yarn', yarnProject, { XDG_CACHE_HOME: '/c' }],
    ['/c', yarnProject, { YARN_CACHE_FOLDER: '/c' }],
    ['/g/cache', berryProject, { YARN_GLOBAL_FOLDER: '/g' }],
    ['/d/yarn/berry/cache', berryProject, { XDG_DATA_HOME: '/d' }],
    ['/c', berryProject, { YARN_CACHE_FOLDER: '/c' }],
    ['/pnpm/store', pnpmProject, { PNPM_HOME: '/pnpm', XDG_DATA_HOME: '/d' }],
    ['/d/pnpm/store', pnpmProject, { XDG_DATA_HOME: '/d' }],
    ['/s', pnpmProject, { npm_config_store_dir: '/s' }],
    ['/s', pnpmProject, { PNPM_CONFIG_STORE_DIR: '/s', PNPM_HOME: '/pnpm' }],
    ['/c', pnpmProject, { pnpm_config_cache_dir: '/c' }],
    ['/v', poetryProject, { POETRY_VIRTUALENVS_PATH: '/v' }],
    ['/c', poetryProject, { POETRY_CACHE_DIR: '/c' }],
    ['.venv', poetryProject, { POETRY_VIRTUALENVS_IN_PROJECT: 'true' }],
    ['.venv', { ...poetryProject, 'poetry.toml': '[virtualenvs]\nin-project = true\n' }, {}],
    ['/a/pkg/mod', goProject, { GOPATH: '/a:/b' }],
    ['/m', goProject, { GOMODCACHE: '/m', GOPATH: '/a' }],
    ['/c', goProject, { GOCACHE: '/c' }],
    // Relative to where the tools are started.
    ['.cache/pip', { ...python, 'requirements.txt': 'six\n' }, { PIP_CACHE_DIR: '.cache/pip' }],
    ['packages', { ...dotnetProject, 'nuget.config': nugetSettings }, {}],
    ['/p/packages', { ...dotnetProject, 'NuGet.Config': nugetSettings.replace('./', '%P%/') }, { P: '/p' }],
    ['/p', { ...dotnetProject, 'nuget.config': nugetSettings }, { NUGET_PACKAGES: '/p' }],
  ])('%s is kept', async (folder, project, environment) => {
    expect((await detect(project, '', environment)).folders).toContain(folder);
  });

  test('the environment says where folders are; those of the system and those within others are left out', async () => {
    const environment = {
      PULUMI_HOME: '/opt/pulumi',
      npm_config_cache: '/opt/pulumi/plugins/npm',
    };
    const { folders } = await detect({ ...nodejs, 'package-lock.json': npmLock }, '', environment);
    expect(folders).toEqual(['node_modules', '/opt/pulumi/plugins', '/opt/pulumi/policies']);
    const hostile = { npm_config_cache: '/proc/1/root', PULUMI_HOME: '/slipway/../slipway' };
    const { folders: allowed } = await detect({ ...nodejs, 'package-lock.json': npmLock }, '', hostile);
    expect(allowed).toEqual(['node_modules']);
  });

  test.each(['.', '..', '/', '/home', '/home/u', '~/'])(
    'a folder that holds all of the project or of the home is no cache: %s',
    async (cache) => {
      const files = { ...nodejs, 'package-lock.json': npmLock, '.npmrc': `cache=${cache}\n` };
      expect((await detect(files)).folders).toEqual(['node_modules', ...pulumi]);
    },
  );
});

describe('a run', () => {
  let program: ServedProgram;
  beforeAll(async () => {
    program = await ServedProgram.create({ ...nodejs, 'package-lock.json': npmLock });
  });
  afterAll(() => program[Symbol.asyncDispose]());
  const key = `npm-${createHash('sha256').update(npmLock).digest('hex')}`;

  /** Runs with a cache that answers as `answer` says; a last pre-run command of ours ends it. */
  async function runWithCache(
    answer: { entry: 'none'; reason: string; mayBeSaved: boolean } | undefined,
    cacheTransfer: CacheTransfer = 'archive',
    environment: Record<string, string> = {},
    command = 'exit 9',
  ) {
    await using executor = new ExecutorProcess();
    const options = { cacheDependencies: true };
    const frame = program.frame({ preRunCommands: [command], environment, options });
    executor.send({ ...frame, ...(answer && { cacheTransfer }) });
    const question = executor.frame((each) => each.type === 'cache-restore' || each.type === 'result');
    const asked = await question;
    if (answer && asked.type === 'cache-restore') executor.send({ type: 'cache-restored', ...answer });
    return { ...(await executor.record()), asked };
  }

  test('asks for its entry after the source and before its own commands, and says why it was not used', async () => {
    const reason = 'there is no entry for this key yet';
    const { lines, plan, asked } = await runWithCache({ entry: 'none', reason, mayBeSaved: true });
    expect(plan).toEqual(['Get source', 'Restore cache', 'Pre-run command', 'pulumi destroy', 'Save cache']);
    expect(asked).toMatchObject({ type: 'cache-restore', key });
    expect(lines.slice(lines.indexOf('Detected project runtime: nodejs'))).toEqual([
      'Detected project runtime: nodejs',
      `Calculated cache entry with key ${key}`,
      'No cache to restore, skipping...',
      `Cache not used: ${reason}.`,
    ]);
  });

  test('whose disk cannot be mounted at a folder, as nobody can make that, does without that folder', async () => {
    const answer = { entry: 'none', reason: 'of the test', mayBeSaved: true } as const;
    const environment = {
      npm_config_cache: '/etc/hostname/npm',
      PULUMI_HOME: join(program.directory, 'pulumi'),
    };
    const { asked } = await runWithCache(answer, 'device', environment);
    expect(asked).toMatchObject({ type: 'cache-restore', key });
    const { paths } = z.object({ paths: z.array(z.string()) }).parse(asked);
    expect(paths).toHaveLength(3);
    expect(paths).not.toContain(environment.npm_config_cache);
  });

  test('that removes a folder at which a disk is mounted is told that it can only be emptied', async () => {
    const answer = { entry: 'none', reason: 'of the test', mayBeSaved: true } as const;
    const environment = { PULUMI_HOME: join(program.directory, 'pulumi') };
    const remove = `unshare --map-root-user --mount sh -c '
      mount -t tmpfs none node_modules && rm -rf node_modules/* && echo emptied && rm -rf node_modules'`;
    const { lines, result } = await runWithCache(answer, 'device', environment, remove);
    expect(lines).toContain('emptied');
    expect(result.message).toContain('A folder of the dependency cache is a mount point here');
    const elsewhere = await runWithCache(answer, 'archive', environment, `mkdir -p node_modules; ${remove}`);
    expect(elsewhere.lines).toContain('emptied');
    expect(elsewhere.result.message).not.toContain('mount point');
  });

  test('on a runner without a cache says so', async () => {
    const { lines } = await runWithCache(undefined);
    expect(lines).toContain('Skipping caching step: this runner keeps no cache');
    expect(lines).toContain('Cache not used: this runner keeps no cache.');
  });

  test('that does not ask for a cache has no such steps', async () => {
    const { plan } = await program.runCommands([]);
    expect(plan.filter((step) => step.includes('cache'))).toEqual([]);
  });

  test('that removes its stack saves nothing', async () => {
    const options = { cacheDependencies: true, deleteAfterDestroy: true };
    const { plan } = await program.run(program.frame({ preRunCommands: ['exit 9'], options }));
    expect(plan.at(-1)).toBe('pulumi stack rm');
    expect(plan).not.toContain('Save cache');
  });

  test('goes on after ten seconds when no answer comes', { timeout: 40_000 }, async () => {
    await using executor = new ExecutorProcess();
    const frame = program.frame({ preRunCommands: ['exit 9'], options: { cacheDependencies: true } });
    executor.send({ ...frame, cacheTransfer: 'archive' });
    await executor.frame((each) => each.type === 'cache-restore');
    const asked = performance.now();
    await executor.line('Cache not used: restoring it took longer than 10 s');
    expect(performance.now() - asked).toBeLessThan(11_000);
    expect((await executor.record()).result.message).toContain('Pre-run command');
  });
});
