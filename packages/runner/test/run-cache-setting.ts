import { cacheGrant, type FrameFromExecutor, type FrameToExecutor, maximumPieceBytes } from '@slipway/core';
import type { HeldSandbox } from '../src/testing/held-isolation.ts';
import { eventually, RunSetting } from './run-setting.ts';

export const key = `npm-${'0'.repeat(64)}`;
export const otherKey = `npm-${'1'.repeat(64)}`;
export const paths = ['/deployment/node_modules'];
export const grant = (parts: object = {}) =>
  cacheGrant.parse({ namespace: 'pool/project/1', writeScope: 'main', readScopes: ['main'], ...parts });
export const previewGrant = (parts: object = {}) =>
  grant({ writeScope: 'preview of dev', readScopes: ['preview of dev', 'main'], ...parts });

type Answer<Type> = Extract<FrameToExecutor, { type: Type }>;

/** The executor of one run, in the hands of the test. */
export class ExecutorInTest {
  readonly #sandbox: HeldSandbox;
  #heard: number;

  constructor(sandbox: HeldSandbox) {
    this.#sandbox = sandbox;
    this.#heard = sandbox.received.length;
  }

  async ask<Type extends FrameToExecutor['type']>(
    frame: FrameFromExecutor,
    type: Type,
  ): Promise<Answer<Type>> {
    this.#sandbox.say(frame);
    return this.next(type);
  }

  async next<Type extends FrameToExecutor['type']>(type: Type): Promise<Answer<Type>> {
    const answer = await eventually(() => this.#sandbox.received[this.#heard]);
    this.#heard += 1;
    if (!isOfType(answer, type)) throw new Error(`${type} was expected, and ${JSON.stringify(answer)} came`);
    return answer;
  }

  restore(wanted: { key?: string; paths?: string[] } = {}) {
    return this.ask({ type: 'cache-restore', key, paths, ...wanted }, 'cache-restored');
  }

  async readAll(): Promise<Buffer> {
    const pieces: Buffer[] = [];
    for (;;) {
      const { bytes, isLast } = await this.ask({ type: 'cache-read' }, 'cache-bytes');
      pieces.push(Buffer.from(bytes, 'base64'));
      if (isLast) return Buffer.concat(pieces);
    }
  }

  async save(archive: Buffer) {
    for (let start = 0; start < archive.length; start += maximumPieceBytes) {
      const bytes = archive.subarray(start, start + maximumPieceBytes).toString('base64');
      this.#sandbox.say({ type: 'cache-write', bytes, isLast: false });
    }
    return this.ask({ type: 'cache-write', bytes: '', isLast: true }, 'cache-saved');
  }

  say(...frames: FrameFromExecutor[]): void {
    this.#sandbox.say(...frames);
  }
}

function isOfType<Type extends FrameToExecutor['type']>(
  frame: FrameToExecutor,
  type: Type,
): frame is Answer<Type> {
  return frame.type === type;
}

/** Runs one run with `grant`, as `body` says, to its end. Answers how it ended. */
export async function inRun(
  setting: RunSetting,
  cache: ReturnType<typeof grant> | null,
  body: (executor: ExecutorInTest, job: Answer<'job'>) => Promise<void>,
) {
  const place = setting.isolation.sandboxes.length;
  const run = setting.server.queue({ cache });
  const sandbox = await eventually(() => setting.isolation.sandboxes[place]);
  sandbox.say({ type: 'ready' });
  const executor = new ExecutorInTest(sandbox);
  const job = await executor.next('job');
  executor.say({ type: 'plan', steps: ['Restore cache', 'Save cache'] });
  await body(executor, job);
  executor.say({ type: 'result', outcome: 'succeeded' });
  return eventually(() => run.finish);
}

export async function startedSetting(limits?: { maximumEntryBytes: number }): Promise<RunSetting> {
  const setting = await RunSetting.create();
  await setting.openCache(limits);
  await setting.start();
  return setting;
}
