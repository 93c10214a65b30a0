import { execFile } from 'node:child_process';
import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type DirectoryOfFiles, readFiles } from './testing/example-files.ts';
import { ExecutorProcess, type JobParts, type RunRecord } from './testing/executor-process.ts';
import { fileBackend, pulumiPath } from './testing/pulumi.ts';
import { ServedProgram } from './testing/served-program.ts';

const run = promisify(execFile);

let program: ServedProgram;
let path: string;
let environment: Record<string, string>;
let extraCertificates: string;

beforeAll(async () => {
  const files: DirectoryOfFiles = await readFiles(join(import.meta.dirname, '..', '..', '..', 'examples'));
  program = await ServedProgram.create({
    ...files,
    'broken/Pulumi.yaml': 'name: broken\nruntime: nodejs\n',
    'broken/package.json': '{"name": "broken", "dependencies": {"nothing": "file:./nothing.tgz"}}\n',
  });
  path = await pulumiPath();
  const state = join(program.directory, 'state');
  await mkdir(state);
  environment = await fileBackend(state);
  // As the runner does: certificate authorities that this machine trusts reach npm inside the run.
  extraCertificates = await readFile('/etc/ssl/certs/ca-certificates.crt', 'utf8');
}, 600_000);
afterAll(() => program[Symbol.asyncDispose]());

function frame(project: string, parts: JobParts) {
  const made = program.frame(
    {
      stack: { organization: 'organization', project, stack: 'dev' },
      environment,
      source: { kind: 'git', repoUrl: program.repoUrl, repoDir: project },
      ...parts,
    },
    { extraCertificates },
  );
  return { ...made, imageEnvironment: { ...made.imageEnvironment, PATH: path } };
}

function execute(project: string, parts: JobParts): Promise<RunRecord> {
  return program.run(frame(project, parts));
}

/** Asks the CLI about a stack, outside of any run. */
async function pulumi(project: string, ...parameters: string[]): Promise<string> {
  const stack = ['--stack', `organization/${project}/dev`, '--non-interactive'];
  const { stdout } = await run('pulumi', [...parameters, ...stack], {
    cwd: program.directory,
    env: { ...environment, PATH: path, PULUMI_SKIP_UPDATE_CHECK: 'true' },
  });
  return stdout;
}

const init = (project: string) => `pulumi stack init organization/${project}/dev`;
const succeeded = { type: 'result', outcome: 'succeeded' };

describe('greeting', () => {
  test('an update makes its resources and outputs; the secret appears nowhere', async () => {
    const record = await execute('greeting', {
      operation: 'update',
      preRunCommands: [
        init('greeting'),
        'pulumi config set name Slipway && echo "$SIGNATURE" | pulumi config set --secret signature',
      ],
      environment: { ...environment, SIGNATURE: 'canary-signature' },
      secrets: ['canary-signature'],
    });
    expect(record.result).toEqual(succeeded);
    expect(record.plan).toEqual(['Get source', 'Pre-run command 1', 'Pre-run command 2', 'pulumi update']);
    expect(record.lines.join('\n')).not.toContain('canary');
    const outputs = JSON.parse(await pulumi('greeting', 'stack', 'output', '--json', '--show-secrets'));
    expect(outputs).toEqual({ greeting: 'Hello, Slipway!', letter: 'Hello, Slipway!\n-- canary-signature' });
  });

  test.each([
    ['preview', 'pulumi preview'],
    ['refresh', 'pulumi refresh'],
    ['detect-drift', 'pulumi refresh'],
    ['remediate-drift', 'pulumi up'],
  ] as const)('%s runs as the step `%s`', async (operation, step) => {
    const record = await execute('greeting', { operation });
    expect(record.result).toEqual(succeeded);
    expect(record.plan).toEqual(['Get source', step]);
    expect(record.lines.join('\n')).toMatch(/3 unchanged|\+ 1 to create|replace/);
  });

  test('a destroy leaves nothing, and the stack goes with it when asked', async () => {
    const record = await execute('greeting', { operation: 'destroy', options: { deleteAfterDestroy: true } });
    expect(record.result).toEqual(succeeded);
    expect(record.plan).toEqual(['Get source', 'pulumi destroy', 'pulumi stack rm']);
    await expect(pulumi('greeting', 'stack')).rejects.toThrow(/no stack named/);
  });
});

test('network and service: a secret output crosses the stack reference and stays a secret', async () => {
  for (const project of ['network', 'service']) {
    const record = await execute(project, { operation: 'update', preRunCommands: [init(project)] });
    expect(record.result, record.lines.join('\n')).toEqual(succeeded);
  }
  const shown = JSON.parse(await pulumi('service', 'stack', 'output', '--json'));
  expect(shown).toEqual({ address: '10.20.0.10', joinToken: '[secret]' });
  const [theirs, ours] = await Promise.all(
    ['network', 'service'].map((project) =>
      pulumi(project, 'stack', 'output', 'joinToken', '--show-secrets'),
    ),
  );
  expect(ours).toMatch(/^[0-9a-f]{32}\n$/);
  expect(ours).toBe(theirs);
});

test('slow: a cancelled update finishes what it is making, begins nothing more, and leaves the stack usable', async () => {
  await using executor = new ExecutorProcess();
  executor.send(
    frame('slow', {
      operation: 'update',
      preRunCommands: [`${init('slow')} && pulumi config set seconds 4`],
    }),
  );
  await executor.line('first creating');
  executor.send({ type: 'cancel', graceSeconds: 60 });
  const record = await executor.record();
  expect(record.result).toMatchObject({ outcome: 'failed', cause: 'cancelled' });
  expect(record.result.message).toBe('The step "pulumi update" was interrupted.');
  expect(record.lines.join('\n')).not.toContain('second creating');
  const state = JSON.parse(await pulumi('slow', 'stack', 'export'));
  const names = state.deployment.resources.map(({ urn }: { urn: string }) => urn.split('::').at(-1));
  expect(names).toContain('first');
  expect(names).not.toContain('second');
  expect((await execute('slow', { operation: 'destroy' })).result).toEqual(succeeded);
});

test('from-npm: dependencies are installed by the run, after the pre-run commands', async () => {
  const record = await execute('from-npm', {
    operation: 'update',
    preRunCommands: [init('from-npm')],
    options: { skipInstallDependencies: false },
  });
  expect(record.result, record.lines.join('\n')).toEqual(succeeded);
  expect(record.plan).toEqual(['Get source', 'Pre-run command', 'Download dependencies', 'pulumi update']);
  const outputs = JSON.parse(await pulumi('from-npm', 'stack', 'output', '--json'));
  expect(outputs).toEqual({ milliseconds: 172_800_000, inWords: '2 days' });
}, 300_000);

test('dependencies that cannot be installed are the cause of the failure', async () => {
  const { result } = await execute('broken', {
    operation: 'preview',
    options: { skipInstallDependencies: false },
  });
  expect(result).toMatchObject({ outcome: 'failed', cause: 'dependencies-failed' });
  expect(result.message).toMatch(/^The step "Download dependencies" failed with exit code \d+\.$/);
});

test('a failing operation names its step and exit code', async () => {
  const { result } = await execute('service', {
    operation: 'update',
    environment: { ...environment, PULUMI_CONFIG_PASSPHRASE: 'wrong' },
  });
  expect(result).toMatchObject({ outcome: 'failed', cause: 'program-error' });
  expect(result.message).toMatch(/^The step "pulumi update" failed with exit code \d+\.$/);
});

test('an image without `pulumi` is the cause of the failure', async () => {
  const made = frame('greeting', { operation: 'preview' });
  const { result } = await program.run({
    ...made,
    imageEnvironment: { ...made.imageEnvironment, PATH: '/usr/bin:/bin' },
  });
  expect(result).toMatchObject({ outcome: 'failed', cause: 'image-unavailable' });
  expect(result.message).toContain('the executor image has no program "pulumi" on its PATH');
});
