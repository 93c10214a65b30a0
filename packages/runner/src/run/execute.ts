import { type FrameFromExecutor, ProtocolViolation } from '@slipway/core';
import type { NewLine } from '../log-spool/chunk.ts';
import type { CacheFrame } from './cache/entry-transfer.ts';
import type { RunCache } from './cache/run-cache.ts';
import { cancelledEnding } from './cancellation.ts';
import { Conversation } from './conversation.ts';
import type { Ending } from './ending.ts';
import type { LiveRun } from './live-run.ts';
import { type Executor, endedWithoutResult } from './start-executor.ts';

/**
 * Listens to the executor until it gives its result. Lines are in the spool before more is read, so a full spool holds
 * the sandbox up. Rejects when the run must end otherwise: a violation of the protocol, a sandbox that is gone, a stop.
 */
export async function execute(
  run: LiveRun,
  { sandbox, channel }: Executor,
  cache: RunCache | undefined,
): Promise<Ending> {
  const conversation = new Conversation();
  const endExecute = run.phases.begin('execute');
  const endFirstLogLine = run.phases.begin('firstLogLine');
  for (;;) {
    const frames = await channel.next();
    run.stopped.throwIfAborted();
    if (frames === undefined) throw await endedWithoutResult(sandbox);
    let lines: NewLine[] = [];
    let result: Result | undefined;
    try {
      for (const frame of frames) {
        conversation.check(frame, Date.now());
        if (frame.type === 'log') {
          endFirstLogLine();
          run.isUnderWay();
          if (frame.leftOut) {
            const before = lines;
            lines = [];
            await take(run, before);
            run.report.leaveOut(frame.leftOut);
            run.timeLimits.lineRead();
          }
        }
        if (frame.type === 'result') result = frame;
        else if (isCacheFrame(frame)) await run.unlessStopped(hearOfCache(cache, frame));
        else for (const line of hear(run, frame)) lines.push(line);
      }
    } finally {
      // What came before a violation was said all the same.
      await take(run, lines);
    }
    if (run.report.logIsFull && !conversation.mayLeaveOut) {
      conversation.logIsFull();
      channel.send({ type: 'log-full' });
    }
    if (result) {
      endExecute();
      return endingOfResult(run, result);
    }
  }
}

/** Lines are waited for here, and not by the sandbox, while the spool is full. */
async function take(run: LiveRun, lines: readonly NewLine[]): Promise<void> {
  if (lines.length === 0) return;
  run.timeLimits.lineWaits();
  await run.report.append(lines);
  run.timeLimits.lineRead();
}

type Result = Extract<FrameFromExecutor, { type: 'result' }>;

function isCacheFrame(frame: FrameFromExecutor): frame is CacheFrame {
  return frame.type.startsWith('cache-');
}

async function hearOfCache(cache: RunCache | undefined, frame: CacheFrame): Promise<void> {
  if (!cache) throw new ProtocolViolation('the executor spoke of a cache that it was not offered');
  await cache.hear(frame);
}

/** Takes what a frame says about the steps, and answers the lines that it brings. */
function hear(run: LiveRun, frame: Exclude<FrameFromExecutor, Result | CacheFrame>): NewLine[] {
  switch (frame.type) {
    case 'plan':
      run.report.plan(frame.steps.map((name) => run.mask(name)));
      return [];
    case 'step': {
      const timestamp = new Date(frame.timestamp).toISOString();
      run.report.moveStep(frame.step + 1, frame.status, timestamp);
      if (frame.status !== 'running') {
        run.timeLimits.stepEnded();
        return [];
      }
      run.egress.stepStarts();
      const header = run.report.headerOf(frame.step + 1, timestamp);
      run.timeLimits.stepBegan(header.text);
      return [header];
    }
    case 'log': {
      const timestamp = new Date(frame.timestamp).toISOString();
      const texts = frame.lines.map((text) => run.mask(text));
      run.egress.hear(texts);
      const { piece } = frame;
      return texts.map((text) => ({ step: frame.step + 1, kind: 'line', timestamp, text, piece }));
    }
    // It came before.
    case 'ready':
      return [];
  }
}

function endingOfResult(run: LiveRun, result: Result): Ending {
  if (result.outcome === 'succeeded') return { outcome: 'succeeded' };
  const { cause = 'program-error', message } = result;
  const told: Ending = { outcome: 'failed', cause, ...(message && { message }) };
  const reason = run.cancellation.requested;
  if (reason) return cancelledEnding(reason, told);
  if (cause !== 'cancelled') return told;
  throw new ProtocolViolation('the executor says that it was cancelled, and nobody cancelled it');
}
