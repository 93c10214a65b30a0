import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { cacheDirectory as cacheDirectoryOf } from '../src/cache-directory.ts';
import { ensureLanguageHost } from '../src/setup/language-host.ts';
import { ensurePulumiCli } from '../src/setup/pulumi-cli.ts';
import { nodePath } from '../src/setup/repository.ts';
import { CommandError, runCommand } from '../src/setup/run-command.ts';

const setUp = { cacheDirectory: cacheDirectoryOf(process.env), report: () => {} };
let searchPath: string;
let folder: string;
let environment: NodeJS.ProcessEnv;

beforeAll(async () => {
  const languageHost = await ensureLanguageHost(setUp);
  const pulumi = await ensurePulumiCli(setUp);
  searchPath = [languageHost, dirname(nodePath), dirname(pulumi), process.env.PATH].join(delimiter);
}, 15 * 60_000);

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'slipway-language-host-'));
  await mkdir(join(folder, 'state'));
  await writeFile(join(folder, 'Pulumi.yaml'), 'name: program\nruntime: nodejs\n');
  await writeFile(join(folder, 'package.json'), '{"name":"program","main":"index.js"}');
  environment = {
    PATH: searchPath,
    HOME: folder,
    PULUMI_HOME: join(folder, 'pulumi-home'),
    PULUMI_BACKEND_URL: `file://${join(folder, 'state')}`,
    PULUMI_CONFIG_PASSPHRASE: 'passphrase',
    PULUMI_SKIP_UPDATE_CHECK: 'true',
  };
  await pulumi('stack', 'init', 'dev');
});

afterEach(() => rm(folder, { recursive: true }));

function pulumi(...argv: string[]): Promise<string> {
  return runCommand(['pulumi', ...argv, '--non-interactive'], { environment, workingDirectory: folder });
}

async function failedUp(program: string): Promise<string> {
  await writeFile(join(folder, 'index.js'), program);
  const error = await pulumi('up', '--yes', '--skip-preview').catch((thrown: unknown) => thrown);
  if (!(error instanceof CommandError)) throw new Error('the update should have failed');
  return error.output;
}

describe('the Node.js language host', () => {
  test('gives a program its configuration, project and stack', async () => {
    await pulumi('config', 'set', 'plain', 'text');
    await pulumi('config', 'set', '--secret', 'hidden', 'hush');
    await writeFile(
      join(folder, 'index.js'),
      `const pulumi = require('@pulumi/pulumi');
       const config = new pulumi.Config();
       exports.all = [pulumi.getProject(), pulumi.getStack(), config.require('plain')].join(' ');
       exports.hidden = config.requireSecret('hidden');
       exports.secrets = ['plain', 'hidden'].filter((key) => pulumi.runtime.isConfigSecret('program:' + key));`,
    );
    expect(await pulumi('up', '--yes', '--skip-preview')).toMatch(/hidden\s*: \[secret\]/);
    expect(JSON.parse(await pulumi('stack', 'output', '--json', '--show-secrets'))).toEqual({
      all: 'program dev text',
      hidden: 'hush',
      secrets: ['hidden'],
    });
  });

  test('a program that throws fails the update, with its own message told once', async () => {
    const output = await failedUp('throw new Error("what went wrong");');
    expect(output).toContain('what went wrong');
    expect(output).not.toContain('non-zero exit code');
  });

  test('a program that exits with a code of its own fails the update with that code', async () => {
    expect(await failedUp('process.exit(3);')).toContain('Program exited with non-zero exit code: 3');
  });

  test('a killed program fails the update with the signal', async () => {
    expect(await failedUp('process.kill(process.pid, "SIGKILL");')).toContain('Program was ended by SIGKILL');
  });

  test('the CLI waits for no plugin at its end', async () => {
    await writeFile(join(folder, 'index.js'), 'require("@pulumi/pulumi");');
    const start = performance.now();
    await pulumi('up', '--yes', '--skip-preview');
    // The CLI gives a plugin that does not react to its interrupt five seconds.
    expect(performance.now() - start).toBeLessThan(5_000);
  });

  test('a program does not outlive a CLI that was killed', async () => {
    const processId = join(folder, 'process-id');
    await writeFile(
      join(folder, 'index.js'),
      `require('node:fs').writeFileSync(${JSON.stringify(processId)}, String(process.pid));
       setInterval(() => {}, 1000);`,
    );
    const cli = spawn('pulumi', ['up', '--yes', '--skip-preview', '--non-interactive'], {
      cwd: folder,
      env: environment,
      stdio: 'ignore',
    });
    const program = await until(async () => (existsSync(processId) ? readFile(processId, 'utf8') : ''));
    cli.kill('SIGKILL');
    await once(cli, 'exit');
    await until(async () => !(await isRunning(program)));
  });

  test('`pulumi install` uses the package manager of the lock file and names one that is missing', async () => {
    await writeFile(join(folder, 'pnpm-lock.yaml'), 'lockfileVersion: 9\n');
    environment.PATH = [
      dirname(nodePath),
      searchPath.split(delimiter)[0],
      searchPath.split(delimiter)[2],
    ].join(delimiter);
    environment.PATH += `${delimiter}/bin`;
    await expect(pulumi('install')).rejects.toThrow(
      'pnpm is not installed here; install it, or remove pnpm-lock.yaml',
    );
  });
});

/** Whether a process exists and is not just waiting to be reaped. */
async function isRunning(processId: string): Promise<boolean> {
  const status = await readFile(`/proc/${processId}/stat`, 'utf8').catch(() => '');
  return status !== '' && !/\) [ZX] /.test(status);
}

async function until<Value>(probe: () => Promise<Value>): Promise<Value> {
  for (let attempt = 0; attempt < 200; attempt += 1) {
    const value = await probe();
    if (value) return value;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error('it did not happen within 20 seconds');
}
