import { fullBytes } from '../host-disk.ts';
import { type Ending, hostMayKnowMore, refineEnding, sandboxKnowsMore } from './ending.ts';
import type { LiveRun } from './live-run.ts';

const maximumMessageCharacters = 8_192;
const maximumConsoleLines = 100;

/**
 * Ends a run: the sandbox is destroyed and proven gone while the rest of its log goes out, and only then the control
 * plane is told, which frees the stack. A run that is another's by now is not reported any more, but destroyed.
 */
export async function finish(run: LiveRun, reached: Ending): Promise<void> {
  run.cancellation.close();
  run.timeLimits.close();
  const ended = await explained(run, reached);
  await run.usage.end();
  // What went into the spool goes out meanwhile.
  await run.phases.measure('destroy', run.resources.destroyAll());
  const ending = run.egress.blame(ended);
  const ownLines = [run.usage.line, run.egress.line].filter((line) => line !== undefined);
  await run.report.complete(ending, [...consoleLines(run, ending), ...ownLines]);
  await run.usage.settled();
  const wasTold = await tellEnding(run, ending);
  run.lease.end();
  await run.report.close();
  if (wasTold) run.spool.remove();
  else run.context.lateDeliveries.deliver(run.spool);
}

/** With what the host and the sandbox can tell about it as long as the sandbox is there. */
async function explained(run: LiveRun, reached: Ending): Promise<Ending> {
  if (hostMayKnowMore(reached) && (await hostDiskIsFull(run))) return blameHostDisk(run, reached);
  if (!run.sandbox || !sandboxKnowsMore(reached)) return reached;
  try {
    return refineEnding(reached, await run.sandbox.shortages(), run.size);
  } catch (error) {
    run.log.warn({ err: error }, 'A sandbox could not tell what it had run out of');
    return reached;
  }
}

/** In a container, a write that finds the host's disk full fails like that of a broken disk. */
async function hostDiskIsFull({ context, log }: LiveRun): Promise<boolean> {
  try {
    const { free } = await context.parts.measureHost();
    return free.volumeGiB * 1024 ** 3 < fullBytes;
  } catch (error) {
    log.warn({ err: error }, 'The room on the disk of this host is not known');
    return false;
  }
}

function blameHostDisk({ context }: LiveRun, { message, ...ending }: Ending): Ending {
  const full = `The disk of ${context.options.dataDirectory} was full.`;
  return { ...ending, cause: 'host-disk-full', message: [full, message].filter((part) => part).join(' ') };
}

/** Answers whether the control plane knows how the run ended, and so has all of its log. */
async function tellEnding(run: LiveRun, ending: Ending): Promise<boolean> {
  try {
    if (mayRunElsewhere(run, ending)) run.log.warn({}, 'A run is left to another runner');
    else await sendEnding(run, ending);
    return !mayRunElsewhere(run, ending);
  } catch (error) {
    run.log.error({ err: error, ending }, 'The end of a run could not be reported');
    return false;
  }
}

async function sendEnding(run: LiveRun, { outcome, cause, message }: Ending): Promise<void> {
  await run.ask(() =>
    run.calls.finish({
      outcome,
      ...(cause && { cause }),
      ...(message && { message: messageOf(run, message) }),
      phaseMilliseconds: run.phases.toRecord(),
      lastSequence: run.report.lastSequence,
      ...(run.egress.record && { egress: run.egress.record }),
      ...(run.usage.report && { usage: run.usage.report }),
    }),
  );
  run.log.info({ outcome, cause, phaseMilliseconds: run.phases.toRecord() }, 'Run finished');
}

/** A run that was lost before its job was handed out has done nothing: unreported, it is queued again. */
function mayRunElsewhere(run: LiveRun, { cause }: Ending): boolean {
  return cause === 'runner-lost' && !run.jobWasAskedFor;
}

/** After a panic the end of the kernel's console is in the message: it belongs into the log. */
function consoleLines(run: LiveRun, { cause, message }: Ending): string[] {
  if (cause !== 'guest-panic' || !message) return [];
  return message
    .split('\n')
    .slice(-maximumConsoleLines)
    .map((line) => run.mask(line));
}

function messageOf(run: LiveRun, message: string): string {
  return run.mask(message).slice(0, maximumMessageCharacters);
}
