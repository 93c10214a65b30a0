import { execFile } from 'node:child_process';
import { chmod, mkdir, mkdtemp, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from 'vitest';
import {
  ExecutorProcess,
  execute,
  type JobFrame,
  jobFrame,
  type RunRecord,
} from './testing/executor-process.ts';
import { ServedProgram } from './testing/served-program.ts';

/** The tests run as root; this user owns nothing on the host. */
const userId = 982_001;
const groupId = 982_002;

let program: ServedProgram;
/** Where this user may look, unlike other folders of tests. */
let open: string;
beforeAll(async () => {
  program = await ServedProgram.create();
  open = await mkdtemp(join(tmpdir(), 'slipway-step-user-'));
  await chmod(open, 0o755);
});
afterAll(async () => {
  await program[Symbol.asyncDispose]();
  await rm(open, { recursive: true });
});

/** Runs commands as the user, at a root that only root may write to. */
async function runAs(...parameters: Parameters<typeof frameOf>): Promise<RunRecord> {
  return execute(await frameOf(...parameters));
}

async function frameOf(
  user: Partial<NonNullable<JobFrame['stepUser']>>,
  preRunCommands: readonly string[],
  environment: Record<string, string> = { PATH: process.env.PATH ?? '' },
): Promise<JobFrame> {
  const rootPath = join(open, 'a/b');
  await rm(join(open, 'a'), { recursive: true, force: true });
  const frame = jobFrame(
    rootPath,
    { source: { kind: 'git', repoUrl: program.repoUrl }, preRunCommands: [...preRunCommands, 'exit 9'] },
    { extraCertificates: 'PEM' },
  );
  const stepUser = { userId, groupId, furtherGroupIds: [], home: '/nowhere', ...user };
  return { ...frame, imageEnvironment: environment, stepUser };
}

test('all steps run as the user of the image, in its groups, and may write where steps write', async () => {
  const { lines, statuses, plan } = await runAs({ furtherGroupIds: [982_003, 982_004] }, [
    'echo "ids $(id -u) $(id -g) $(id -G)"; stat -c "owner of %n is %u:%g" . Pulumi.yaml ..',
    'echo new > Pulumi.yaml && touch made && git status --short && echo "MINE=yes" >> "$PULUMI_ENV_FILE"',
    'echo "mine is $MINE"; cat "$SSL_CERT_FILE" > /dev/null && echo certified; kill -0 1 2>/dev/null || echo powerless',
  ]);
  expect(lines).toContain(`ids ${userId} ${groupId} ${groupId} 982003 982004`);
  for (const name of ['.', 'Pulumi.yaml'])
    expect(lines).toContain(`owner of ${name} is ${userId}:${groupId}`);
  expect(lines).toEqual(
    expect.arrayContaining([' M Pulumi.yaml', '?? made', 'mine is yes', 'certified', 'powerless']),
  );
  expect(statuses.filter((status) => status.endsWith('failed'))).toEqual([`${plan.at(-2)}: failed`]);
});

test('a home that the user may write to is its home, and one of its own is made where there is none', async () => {
  const home = join(open, 'home');
  await mkdir(home);
  const { chownSync } = await import('node:fs');
  chownSync(home, userId, groupId);
  const command = 'cd && pwd && touch here && echo writable';
  expect((await runAs({ home }, [command])).lines).toEqual(expect.arrayContaining([home, 'writable']));
  for (const bad of ['/', '/nowhere', '/root']) {
    const own = join(open, 'a/b/.slipway/home');
    expect((await runAs({ home: bad }, [command])).lines).toEqual(expect.arrayContaining([own, 'writable']));
  }
  const said = { PATH: process.env.PATH ?? '', HOME: home };
  expect((await runAs({ home: '/' }, [command], said)).lines).toContain(home);
});

test('what the run needed is made in the name of the user, and nothing above it', async () => {
  await runAs({}, ['true']);
  const ownerOf = async (path: string) => (await stat(path)).uid;
  expect(await ownerOf(open)).toBe(0);
  for (const path of ['a', 'a/b', 'a/b/deployment', 'a/b/PULUMI_ENV']) {
    expect([path, await ownerOf(join(open, path))]).toEqual([path, userId]);
  }
});

test('commands of such a user are killed for want of memory before the executor', async () => {
  const { lines } = await runAs({}, ['echo "score $(cat /proc/self/oom_score_adj)"']);
  expect(lines).toContain('score 500');
});

test('a command that has become root, as sudo does, is not interrupted, and the executor goes on', async () => {
  const becomesRoot = join(open, 'become-root');
  const source =
    '#include <unistd.h>\nint main(void) { return setuid(0) || write(1, "root\\n", 5) != 5 || sleep(3) != 0; }';
  await writeFile(`${becomesRoot}.c`, source);
  await promisify(execFile)('cc', ['-o', becomesRoot, `${becomesRoot}.c`]);
  await chmod(becomesRoot, 0o4755);
  await using executor = new ExecutorProcess();
  executor.send(await frameOf({}, [`exec ${becomesRoot}`]));
  await executor.line('root');
  executor.send({ type: 'cancel', graceSeconds: 1 });
  expect((await executor.record()).result).toMatchObject({ cause: 'cancelled' });
});

test('without a user of its own an image runs its steps as root', async () => {
  const { lines } = await runAs({ userId: 0, groupId: 0, home: '/root' }, [
    'echo "ids $(id -u)"; echo "home $HOME"',
  ]);
  expect(lines).toEqual(expect.arrayContaining(['ids 0', 'home /root']));
});
