import {
  defaultRunSandbox,
  type EgressPolicy,
  type EgressRecord,
  type EgressRefusal,
  type ExecutorCause,
} from '@slipway/core';
import { describe, expect, test } from 'vitest';
import type { ContractRun } from '../src/testing/contract-run.ts';
import { step, succeeded } from './executor-frames.ts';
import { eventually, RunSetting } from './run-setting.ts';

const timestamp = () => new Date().toISOString();
type Refused = Omit<EgressRefusal, 'lastAt'> & Partial<EgressRefusal>;
const refusal = (changes: Partial<EgressRefusal>): Refused => ({
  ...{ hosts: [], address: null, port: null, protocol: 'tcp', count: 1, reason: 'policy' },
  ...changes,
});
const npm = () => refusal({ hosts: ['packages.example.org'], protocol: 'dns', count: 3 });
const git = () => refusal({ hosts: ['git.example.com'], address: '203.0.113.7', port: 22 });
const metadata = () => refusal({ address: '169.254.169.254', port: 80, reason: 'metadata' });
const recordOf = (...refused: Refused[]): EgressRecord => ({
  contacted: [],
  // As a network does, it says when; by default just now.
  refused: refused.map((each) => ({ lastAt: timestamp(), ...each })),
  unlisted: { contacted: 0, refused: 0 },
});

interface Failing {
  readonly refused: Refused[];
  readonly cause: ExecutorCause;
  readonly says?: string;
}

/** How a run is told that fails in its second step. */
async function failing({ refused, cause, says = 'it failed' }: Failing): Promise<ContractRun> {
  await using setting = await RunSetting.create();
  setting.egress = () => Promise.resolve(recordOf(...refused));
  const run = setting.server.queue();
  await setting.start();
  const sandbox = await setting.sandboxAtWork(['First', 'Second']);
  sandbox.say(
    ...[step(0, 'running'), step(0, 'succeeded'), step(1, 'running')],
    { type: 'log', step: 1, timestamp: Date.now(), lines: [says] },
    step(1, 'failed'),
    { type: 'result', outcome: 'failed', cause, message: 'The step "Second" failed.' },
  );
  await eventually(() => run.finish);
  return run;
}

describe('the egress record of a run', () => {
  test('is read when its sandbox is gone, and told at its end with secrets hidden and a line in the log', async () => {
    await using setting = await RunSetting.create();
    const run = setting.server.queue({}, { secrets: ['hunter2hunter2'] });
    let destroyedFirst = false;
    setting.egress = async () => {
      destroyedFirst = setting.isolation.sandboxes.every((sandbox) => sandbox.isDestroyed);
      expect(setting.networks.destroyed).toBe(0);
      const contact = { ...git(), hosts: ['hunter2hunter2.evil.example'], port: 443, lastAt: timestamp() };
      return { ...recordOf(npm()), contacted: [contact] };
    };
    await setting.start();
    const sandbox = await setting.sandboxAtWork(['Get source']);
    sandbox.say(succeeded);
    const finish = await eventually(() => run.finish);
    expect(destroyedFirst).toBe(true);
    expect(finish.outcome).toBe('succeeded');
    expect(finish.egress?.contacted[0]?.hosts).toEqual(['***.evil.example']);
    expect(finish.egress?.refused[0]).toMatchObject({ hosts: ['packages.example.org'], count: 3 });
    expect(run.text.at(-1)).toMatch(/^Egress refused: packages\.example\.org \(3 times\)\. Allow it with/);
    expect(finish.lastSequence).toBe(run.lines.size);
  });

  test('is told also when the sandbox died', async () => {
    await using setting = await RunSetting.create();
    setting.egress = () => Promise.resolve(recordOf(git()));
    const run = setting.server.queue();
    await setting.start();
    (await setting.sandboxAtWork(['Get source'])).exit({ signal: 'SIGKILL', cause: 'out-of-memory' });
    const finish = await eventually(() => run.finish);
    expect(finish).toMatchObject({ cause: 'out-of-memory', egress: { refused: [{ port: 22 }] } });
  });

  test('that cannot be read holds nothing up', async () => {
    await using setting = await RunSetting.create();
    setting.egress = () => Promise.reject(new Error('nft is gone'));
    const run = setting.server.queue();
    await setting.start();
    (await setting.sandboxAtWork([])).say(succeeded);
    const finish = await eventually(() => run.finish);
    expect(finish.outcome).toBe('succeeded');
    expect(finish.egress).toBeUndefined();
    expect(setting.networks.destroyed).toBe(1);
  });
});

describe('a step that fails', () => {
  test('because it was refused what it names fails with that cause, the place and what to do', async () => {
    const says = 'npm error network request to https://packages.example.org/express failed';
    const { finish } = await failing({ refused: [git(), npm()], cause: 'program-error', says });
    expect(finish?.cause).toBe('egress-refused');
    expect(finish?.message).toMatch(
      /^It was refused packages\.example\.org\. Allow it with .*The step "Second" failed\.$/,
    );
  });

  test.each<ExecutorCause>(['source-unavailable', 'dependencies-failed'])(
    'with %s and says that something could not be reached was refused it, whatever it calls it',
    async (cause) => {
      const says = 'fatal: unable to access: Could not resolve host: mirror';
      const { finish } = await failing({ refused: [metadata(), git()], cause, says });
      expect(finish?.cause).toBe('egress-refused');
      expect(finish?.message).toContain('git.example.com:22');
      expect(finish?.message).not.toContain('169.254');
    },
  );

  test.each<Failing & { why: string }>([
    { why: 'names none of it', refused: [npm(), metadata()], cause: 'program-error' },
    { why: 'has a syntax error', refused: [npm()], cause: 'dependencies-failed', says: 'bad package.json' },
    {
      why: 'names only a part of it',
      refused: [refusal({ address: '10.0.0.1', port: 1 })],
      cause: 'program-error',
      says: 'at 10.0.0.12 and 110.0.0.1',
    },
  ])('and $why keeps its cause, and tells the refusals besides', async (example) => {
    const { finish } = await failing(example);
    expect(finish?.cause).toBe(example.cause);
    expect(finish?.message).toMatch(/^The step "Second" failed\. Meanwhile it was refused \S+/);
  });

  test('is not blamed on what an earlier step was refused', async () => {
    const earlier = { lastAt: new Date(Date.now() - 60_000).toISOString() };
    const refused = [{ ...npm(), ...earlier }];
    const { finish } = await failing({ refused, cause: 'program-error', says: 'packages.example.org' });
    expect(finish).toMatchObject({ cause: 'program-error', message: 'The step "Second" failed.' });
  });

  test.each<ExecutorCause>(['out-of-memory', 'heap-limit', 'disk-full'])(
    'with %s keeps that cause',
    async (cause) => {
      const { finish } = await failing({ refused: [npm()], cause, says: 'packages.example.org' });
      expect(finish).toMatchObject({ cause, message: 'The step "Second" failed.' });
    },
  );
});

describe('behind a proxy', () => {
  const sandbox = (egress: EgressPolicy) => ({ sandbox: { ...defaultRunSandbox, egress } });

  test('a run whose policy lists hosts is refused with a sentence, since no list can be held there', async () => {
    await using setting = await RunSetting.create();
    const run = setting.server.queue(sandbox({ mode: 'allow', hosts: ['a.example'] }));
    await setting.start({ proxy: { https: 'http://user:password@proxy.example.com:3128' } });
    const finish = await eventually(() => run.finish);
    expect(finish.cause).toBe('egress-refused');
    expect(finish.message).toContain('proxy.example.com:3128');
    expect(finish.message).not.toContain('password');
    expect(setting.networks.created).toBe(0);
  });

  test('a run that may reach nothing is not told of it', async () => {
    await using setting = await RunSetting.create();
    setting.server.queue(sandbox({ mode: 'none' }));
    await setting.start();
    const held = await setting.sandboxAtWork([]);
    const [frame] = held.received;
    expect(frame?.type === 'job' && frame.network.proxy).toEqual({ noProxy: expect.any(String) });
  });
});
