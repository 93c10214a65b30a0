import type { FrameFromExecutor } from '@slipway/core';
import type { NewLine } from '../log-spool/log-spool.ts';
import { type Executor, endedWithoutResult } from './boot.ts';
import { Conversation, normalTimestamp } from './conversation.ts';
import type { Ending } from './ending.ts';
import type { LiveRun } from './live-run.ts';

/**
 * Listens to the executor until it gives its result. Lines are in the spool before more is read, so a full spool holds
 * the sandbox up. Rejects when the run must end otherwise: a violation of the protocol, a sandbox that is gone, a stop.
 */
export async function execute(run: LiveRun, { sandbox, channel }: Executor): Promise<Ending> {
  const conversation = new Conversation();
  const endExecute = run.phases.begin('execute');
  const endFirstLogLine = run.phases.begin('firstLogLine');
  for (;;) {
    const frames = await channel.next();
    run.stopped.throwIfAborted();
    if (frames === undefined) throw await endedWithoutResult(sandbox);
    const heard = new Heard();
    try {
      for (const frame of frames) {
        conversation.check(frame, Date.now());
        await hear(run, heard, frame);
      }
    } finally {
      // What came before a violation was said all the same.
      if (heard.lines.length > 0) endFirstLogLine();
      await run.report.append(heard.lines);
    }
    if (heard.result) {
      endExecute();
      return endingOfResult(run, heard.result);
    }
  }
}

/** What one chunk of the channel said. */
class Heard {
  readonly lines: NewLine[] = [];
  result: Extract<FrameFromExecutor, { type: 'result' }> | undefined;
}

async function hear(run: LiveRun, heard: Heard, frame: FrameFromExecutor): Promise<void> {
  switch (frame.type) {
    case 'plan':
      return run.report.plan(frame.steps.map((name) => run.mask(name)));
    case 'step':
      // A step's header stands between the lines before it and its own.
      await run.report.append(heard.lines.splice(0));
      return run.report.moveStep(frame.step + 1, frame.status, normalTimestamp(frame.timestamp));
    case 'log':
      heard.lines.push({
        step: frame.step + 1,
        kind: 'line',
        timestamp: normalTimestamp(frame.timestamp),
        text: run.mask(frame.text),
      });
      return;
    case 'result':
      heard.result = frame;
  }
}

function endingOfResult(run: LiveRun, result: Extract<FrameFromExecutor, { type: 'result' }>): Ending {
  if (result.outcome === 'succeeded') return { outcome: 'succeeded' };
  const cause = run.cancellation.requested ?? result.cause ?? 'program-error';
  return { outcome: 'failed', cause, ...(result.message && { message: result.message }) };
}
