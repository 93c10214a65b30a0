import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import * as z from 'zod';
import { startFaultyRegistry } from '../packages/runner/src/testing/faulty-registry.ts';
import {
  addEmptyProject,
  finishedDeployment,
  type SlipwayUnderTest,
  startSlipway,
} from './testing/slipway.ts';

const program = join(import.meta.dirname, '..', 'slipway');
const stack = 'local/shown/dev';

let slipway: SlipwayUnderTest;
beforeAll(async () => {
  slipway = await startSlipway();
  await addEmptyProject(slipway, 'shown');
  await slipway.publish();
  await slipway.api('POST', '/api/stacks/local/shown', { stackName: 'dev' });
  await slipway.api('PUT', `/api/slipway/stacks/${stack}/sandbox`, { egress: { mode: 'none' } });
});
afterAll(() => slipway?.close());

/** Runs `slipway run …` to its end, against the Slipway under test. */
function runCommand(
  command: string,
  ...options: string[]
): Promise<{ code: number; stdout: string; stderr: string }> {
  const { promise, resolve } = Promise.withResolvers<{ code: number; stdout: string; stderr: string }>();
  const env = { ...process.env, HOME: slipway.directory, PULUMI_ACCESS_TOKEN: slipway.adminToken };
  execFile(program, ['run', command, '--url', slipway.url, ...options], { env }, (error, stdout, stderr) =>
    resolve({ code: error === null ? 0 : typeof error.code === 'number' ? error.code : -1, stdout, stderr }),
  );
  return promise;
}

const finished = z.object({ id: z.uuid(), outcome: z.string() });

async function preview(preRunCommand: string) {
  await slipway.api('POST', `/api/stacks/${stack}/deployments`, {
    operation: 'preview',
    inheritSettings: false,
    sourceContext: { git: { repoUrl: slipway.repositoryUrl, branch: 'main', repoDir: 'shown' } },
    operationContext: { preRunCommands: [preRunCommand], options: { skipInstallDependencies: true } },
    cacheOptions: { enable: true },
  });
  return finished.parse(await finishedDeployment(slipway, stack));
}

/** Holds 300 MiB for two seconds, and tries to reach what the run may not. */
const work = `timeout 3 bash -c ': < /dev/tcp/198.51.100.7/443' || true
node -e 'const held = Buffer.alloc(300 * 2 ** 20, 1); setTimeout(() => held.fill(2), 2000)'`;

test('shows how a run went, what it ran on and what it used; lists runs, the newest first', async () => {
  expect(await runCommand('list', '--stack', stack)).toMatchObject({
    code: 0,
    stdout: `The stack "${stack}" has had no run yet.\n`,
  });
  const used = await preview(work);
  expect(used.outcome).toBe('succeeded');
  const failed = await preview("printf '\\e]0;title\\a'; exit 3");

  const { stdout: page } = await runCommand('show', `${stack}/1`);
  expect(page).toMatch(/^local\/shown\/dev #1, preview: succeeded\n/);
  expect(page).toMatch(new RegExp(`^run +${used.id}$`, 'm'));
  expect(page).toMatch(/^finished +\S+ \S+Z, after \d+\.\d s$/m);
  expect(page).toMatch(/^runner +\S+ \(Slipway \d+\.\d+\.\d+\)$/m);
  expect(page).toMatch(/^isolation +container$/m);
  expect(page).toMatch(/^size +2 vCPU, 2\.0 GiB memory, 8 GiB volume$/m);
  expect(page).toMatch(/^image +\S+\n +sha256:[0-9a-f]{64}$/m);
  expect(page).toMatch(/^kernel +Linux \d/m);
  expect(page).toMatch(/^cache +Cache not used: .+\.$/m);
  expect(page).toMatch(/^ {2}Get source +succeeded +\d+/m);
  expect(page).toMatch(/^ {2}execute +\d+\.\d s$/m);
  expect(page).toMatch(/^ {2}memory, at most +3\d\d MiB of 2\.0 GiB +\d+ MiB$/m);
  expect(page).toMatch(/^ {2}memory +[▁▂▃▄▅▆▇█ ]{4,60} {2}█ = 3\d\d MiB$/m);
  expect(page).toMatch(/^ {2}refused: 198\.51\.100\.7:443 \d+× \(policy\)$/m);

  const newest = await runCommand('show', stack);
  expect(newest).toMatchObject({ code: 0, stderr: '' });
  expect(newest.stdout).toMatch(
    /^local\/shown\/dev #2, preview: failed \(program-error\)\n {2}The Pulumi operation or a command of the run failed\.\n {2}.*exit code 3.*\n {2}Next step: Read the last lines/,
  );
  const { stdout: json } = await runCommand('show', failed.id, '--json');
  expect(JSON.parse(json)).toMatchObject({
    ...{ id: failed.id, stack, number: 2, cause: 'program-error', runner: { version: expect.any(String) } },
    sandbox: { size: { cpus: 2, memoryMiB: 2048, volumeGiB: 8 } },
  });

  await using counted = await startFaultyRegistry(new URL(slipway.url).host);
  const { stdout: listed } = await runCommand('list', '--url', `http://${counted.host}`);
  // Not one more for each run that failed.
  expect(counted.asked).toHaveLength(1);
  const [head, ...rows] = listed.trimEnd().split('\n');
  expect(head).toMatch(/^run +queued +stack +operation +status +took$/);
  expect(rows).toEqual([
    expect.stringMatching(`^${failed.id} .* ${stack} #2 +preview +failed \\(program-error\\) +\\d`),
    expect.stringMatching(`^${used.id} .* ${stack} #1 +preview +succeeded +\\d`),
  ]);
  const { stdout: limited } = await runCommand('list', '--stack', stack, '--limit', '1', '--json');
  expect(JSON.parse(limited)).toMatchObject([{ id: failed.id, number: 2, cause: 'program-error' }]);
}, 180_000);

test.each<[[string, ...string[]], RegExp]>([
  [['show', 'shown'], /"shown" is not a run; give its id, organization\/project\/stack\/number/],
  [['show', 'local/shown/missing'], /Not Found: .*missing/],
  [['show', `${stack}/99`], /Not Found: the stack has no deployment #99/],
  [['show', '00000000-0000-4000-8000-000000000000'], /Not Found: there is no run 00000000-/],
  [
    ['list', '--stack', 'local/shown'],
    /"local\/shown" is not a stack; write it as organization\/project\/stack/,
  ],
  [['list', '--limit', '101'], /--limit.*'101' is invalid.*from 1 to 100/],
  [['show'], /missing required argument 'run'/],
])('%j ends with status 1 and a sentence that says why', async (args, sentence) => {
  const { code, stderr, stdout } = await runCommand(...args);
  expect(stderr).toMatch(sentence);
  expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
});
