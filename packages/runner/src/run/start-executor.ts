import { ProtocolViolation, type SandboxSize } from '@slipway/core';
import type { Image } from '../images/image.ts';
import type { Sandbox, SandboxBoot } from '../isolation/isolation.ts';
import type { SandboxNetwork } from '../network/sandbox-network.ts';
import type { RunnerOptions, RunnerParts } from '../runner-options.ts';
import { endingOfExit, RunEnded } from './ending.ts';
import { ExecutorChannel } from './executor-channel.ts';

const defaultStartDeadlineSeconds = 180;
const exitDeadlineMilliseconds = 5_000;
/** Processes and threads in a sandbox. A Pulumi program with its providers and Node takes some hundred. */
const pidLimit = 8_192;
/** What the executor itself needs. The image's variables travel with the job: they are for the steps alone. */
const executorEnvironment = {
  PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
  HOME: '/root',
};

/** A sandbox with an executor in it. */
export interface Executor {
  readonly sandbox: Sandbox;
  readonly channel: ExecutorChannel;
}

/** A sandbox whose executor waits for its job. */
export interface ReadyExecutor extends Executor {
  readonly boot: SandboxBoot;
}

export interface ExecutorStart {
  /** Names the sandbox on the host, and is its host name inside. */
  readonly id: string;
  readonly image: Image;
  readonly network: SandboxNetwork;
  readonly size: SandboxSize;
  /** Time without a word from the runner after which the sandbox ends by itself. */
  readonly silenceSeconds: number;
}

/** Starts a sandbox with the executor in it; no failure of it goes unheard. */
export async function startExecutor(
  { isolation, toolbox }: Pick<RunnerParts, 'isolation' | 'toolbox'>,
  start: ExecutorStart,
): Promise<Executor> {
  const sandbox = await isolation.create({
    ...start,
    hostname: start.id,
    toolbox,
    pidLimit,
    process: { argv: toolbox.executorArgv, environment: executorEnvironment, workingDirectory: '/' },
  });
  const channel = new ExecutorChannel(sandbox.channel);
  sandbox.started.catch(() => undefined);
  void sandbox.exited.then(() => channel.drainAfterExit());
  return { sandbox, channel };
}

export async function endExecutor({ sandbox, channel }: Executor): Promise<void> {
  await sandbox.destroy();
  channel.close();
}

/** Settles when the executor waits for its job. */
export async function untilReady({ sandbox, channel }: Executor): Promise<void> {
  const frames = await channel.next();
  if (frames === undefined) throw await endedWithoutResult(sandbox);
  const [first, second] = frames;
  if (first?.type !== 'ready' || second)
    throw new ProtocolViolation('the executor spoke before it got its job');
}

/** Calls `late` with the reason when the answer is not called in the time that an executor has to be ready. */
export function startDeadline(
  { startDeadlineSeconds = defaultStartDeadlineSeconds }: RunnerOptions,
  late: (reason: RunEnded) => void,
): () => void {
  const message = `The executor was not ready ${startDeadlineSeconds} s after its sandbox was started.`;
  const timer = setTimeout(() => late(new RunEnded('sandbox-failed', message)), startDeadlineSeconds * 1000);
  return () => clearTimeout(timer);
}

/** The channel has ended: how the sandbox ended tells why. Where it goes on without its executor, that is the reason. */
export async function endedWithoutResult(sandbox: Sandbox): Promise<RunEnded> {
  const late = Promise.withResolvers<undefined>();
  const timer = setTimeout(() => late.resolve(undefined), exitDeadlineMilliseconds);
  const exit = await Promise.race([sandbox.exited, late.promise]);
  clearTimeout(timer);
  if (!exit) return new RunEnded('executor-crashed', 'It closed its channel.');
  const { cause, message } = endingOfExit(exit);
  return new RunEnded(cause ?? 'executor-crashed', message ?? '');
}
