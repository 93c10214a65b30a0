import { readFile } from 'node:fs/promises';
import { release } from 'node:os';
import { join } from 'node:path';
import { usageSummary } from '@slipway/core';
import { afterAll, beforeAll, expect, test } from 'vitest';
import * as z from 'zod';
import { expectSuccess, type Finished, writeProject } from './testing/pulumi-user.ts';
import { finishedDeployment, type SlipwayUnderTest, startSlipway } from './testing/slipway.ts';

const stack = 'local/machine/dev';
const folder = 'machine';
const bootIdFile = '/proc/sys/kernel/random/boot_id';

const program = `const signature = config.requireSecret('signature');
new Cell('cell', signature);
exports.letter = signature.apply((text) => 'signed ' + text);`;

let slipway: SlipwayUnderTest;
let run: Finished;

/** A stack that the host made and filled, then changed by a run in a virtual machine. */
beforeAll(async () => {
  slipway = await startSlipway({ isolation: 'vm', cpus: 1, memoryMib: 1024, volumeGib: 4 });
  await writeProject(join(slipway.workingCopy, folder), folder, program);
  await succeed('login', slipway.url);
  await succeed('stack', 'init', stack);
  await setSignature('on the host');
  await succeed('up', '--yes', '--skip-preview', '--stack', stack);
  expect(await letter()).toBe('signed on the host');

  await setSignature('in the machine');
  await slipway.publish();
  run = await slipway.pulumi(
    [
      ...['deployment', 'run', 'update', slipway.repositoryUrl, '--git-branch', 'main'],
      ...['--git-repo-dir', folder, '--skip-install-dependencies', '--stack', stack],
      ...['--suppress-stream-logs=false', '--pre-run-command'],
      `echo "boot $(cat ${bootIdFile}) kernel $(uname -r)"`,
    ],
    { folder },
  );
}, 900_000);

afterAll(() => slipway?.close());

async function succeed(...args: string[]): Promise<string> {
  return expectSuccess(await slipway.pulumi(args, { folder }), `pulumi ${args.join(' ')}`);
}

const setSignature = (text: string) =>
  succeed('config', 'set', '--secret', 'signature', text, '--stack', stack);
const letter = async () =>
  (await succeed('stack', 'output', 'letter', '--show-secrets', '--stack', stack)).trim();

test('`pulumi deployment run update` streams what happens in a virtual machine, step by step', () => {
  expectSuccess(run);
  const said = run.stdout;
  const places = ['Setup:', 'Get source:', 'Pre-run command:', 'pulumi update:', 'cell updated'].map((text) =>
    said.indexOf(text),
  );
  expect(places).not.toContain(-1);
  expect(places).toEqual(places.toSorted((a, b) => a - b));
  expect(said).toMatch(/~ 1 updated/);
  expect(said).not.toContain('in the machine');
});

test('the run names the kernel that it ran on, which is not the one of the host', async () => {
  const deployment = await finishedDeployment(slipway, stack);
  const digest = expect.stringMatching(/^sha256:[0-9a-f]{64}$/);
  expect(deployment).toMatchObject({
    outcome: 'succeeded',
    sandbox: {
      isolation: 'vm',
      imageDigest: digest,
      toolboxDigest: digest,
      kernelDigest: digest,
      initramfsDigest: digest,
    },
  });
  const { sandbox } = z
    .object({
      sandbox: z.object({ bootId: z.uuid(), kernelRelease: z.string(), accelerated: z.boolean() }),
    })
    .parse(deployment);
  expect(sandbox.bootId).not.toBe((await readFile(bootIdFile, 'utf8')).trim());
  expect(sandbox.kernelRelease).not.toBe(release());
  // The words of a program inside, not of the machine that made it.
  expect(run.stdout).toContain(`boot ${sandbox.bootId} kernel ${sandbox.kernelRelease}`);
  expect(/software emulation/.test(run.stdout)).toBe(!sandbox.accelerated);
});

test('what it used is told as the guest counted it, and as the host did', async () => {
  const { usage } = z.object({ usage: usageSummary }).parse(await finishedDeployment(slipway, stack));
  const { sandbox, host } = usage;
  if (!sandbox || !host) throw new Error('nothing was told');
  const mebibyte = 1024 ** 2;
  // Node, Pulumi and the program; and around them a guest and QEMU.
  expect(sandbox.peakMemoryBytes / mebibyte).toBeGreaterThan(100);
  expect(sandbox.peakMemoryBytes / mebibyte).toBeLessThan(1024);
  expect(host.peakMemoryBytes).toBeGreaterThan(sandbox.peakMemoryBytes);
  expect(sandbox.cpuMilliseconds).toBeGreaterThan(1_000);
  // The guest counts also the time in which a busy host does not let it work.
  expect(host.cpuMilliseconds).toBeGreaterThan(sandbox.cpuMilliseconds * 0.3);
  expect(sandbox.peakCpus).toBeGreaterThan(0.3);
  expect(sandbox.peakCpus).toBeLessThanOrEqual(1);
  for (const { receivedBytes, sentBytes, peakVolumeBytes } of [sandbox, host]) {
    for (const bytes of [receivedBytes, sentBytes, peakVolumeBytes]) expect(bytes).toBeGreaterThan(1_000);
  }
  // `deployment run` shows the update in place of its log, and ends with it.
  const log = await succeed('deployment', 'log', '1', '--stack', stack);
  expect(log).toMatch(/Used at most [\d.]+ of 1 vCPU, \d+ of 1,024 MiB memory/);
});

test('secrets created on the host are updated inside the machine through the gateway and read again on the host', async () => {
  expect(await letter()).toBe('signed in the machine');
  expect(await succeed('stack', 'output', 'letter', '--stack', stack)).toContain('[secret]');
  const exported = await succeed('stack', 'export', '--stack', stack);
  expect(exported).not.toContain('in the machine');
  await succeed('preview', '--expect-no-changes', '--stack', stack);
}, 120_000);
