import { ProtocolViolation, type RunOutline, type SandboxFacts, type SandboxSize } from '@slipway/core';
import type { Sandbox, SandboxBoot } from '../isolation/isolation.ts';
import { endingOfExit, RunEnded } from './ending.ts';
import { ExecutorChannel } from './executor-channel.ts';
import type { LiveRun } from './live-run.ts';
import type { Prepared } from './prepare.ts';

const defaultStartDeadlineSeconds = 180;
const exitDeadlineMilliseconds = 5_000;
/** Processes and threads in a sandbox. A Pulumi program with its providers and Node takes some hundred. */
const pidLimit = 8_192;
/** What the executor itself needs. The image's variables travel with the job: they are for the steps alone. */
const executorEnvironment = {
  PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
  HOME: '/root',
};

/** A sandbox whose executor waits for its job. */
export interface Executor {
  readonly sandbox: Sandbox;
  readonly channel: ExecutorChannel;
}

/** Starts the sandbox and waits for the executor's `ready`, for as long as the start deadline allows. */
export async function boot(run: LiveRun, { image, network }: Prepared): Promise<Executor> {
  const { options, parts } = run.context;
  const { size } = run;
  const deadlineSeconds = options.startDeadlineSeconds ?? defaultStartDeadlineSeconds;
  const deadline = setTimeout(() => {
    const message = `The executor was not ready ${deadlineSeconds} s after its sandbox was started.`;
    run.stop(new RunEnded('sandbox-failed', message));
  }, deadlineSeconds * 1000);
  try {
    await run.report.setup(`Starting sandbox (${describe(parts.isolation.kind, size)})`);
    const creating = parts.isolation
      .create({
        id: sandboxName(run.outline),
        image,
        toolbox: parts.toolbox,
        size,
        pidLimit,
        silenceSeconds: run.lease.timing.guestSilenceSeconds,
        process: {
          argv: parts.toolbox.executorArgv,
          environment: executorEnvironment,
          workingDirectory: '/',
        },
        hostname: sandboxName(run.outline),
        network,
      })
      .then((sandbox) => adopt(run, sandbox));
    const held = run.resources.hold('sandbox', creating, async ({ sandbox, channel }) => {
      await sandbox.destroy();
      channel.close();
    });
    const { sandbox, channel } = await run.unlessStopped(run.phases.measure('sandbox', held));
    const started = await run.unlessStopped(run.phases.measure('boot', sandbox.started));
    run.report.sandboxIs(factsOf(run, image, started));
    await run.report.setup(describeStart(started));
    await run.unlessStopped(run.phases.measure('ready', untilReady(sandbox, channel)));
    return { sandbox, channel };
  } finally {
    clearTimeout(deadline);
  }
}

/** Listens to a new sandbox, also when the run was stopped while it was made: no failure of it goes unheard. */
function adopt(run: LiveRun, sandbox: Sandbox): Executor {
  run.sandbox = sandbox;
  const channel = new ExecutorChannel(sandbox.channel);
  sandbox.started.catch(() => undefined);
  void sandbox.exited.then(() => channel.drainAfterExit());
  run.stopped.addEventListener('abort', () => channel.close(), { once: true });
  return { sandbox, channel };
}

async function untilReady(sandbox: Sandbox, channel: ExecutorChannel): Promise<void> {
  const frames = await channel.next();
  if (frames === undefined) throw await endedWithoutResult(sandbox);
  const [first, second] = frames;
  if (first?.type !== 'ready' || second)
    throw new ProtocolViolation('the executor spoke before it got its job');
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

/** Run ids may hold characters that host names may not. */
function sandboxName({ runId }: RunOutline): string {
  return `run-${runId.replace(/[^A-Za-z0-9-]/g, '-')}`.slice(0, 60).replace(/-+$/, '');
}

function describe(kind: string, { cpus, memoryMiB, volumeGiB }: SandboxSize): string {
  return `isolation "${kind}", ${cpus} vCPU, ${memoryMiB} MiB memory, ${volumeGiB} GiB volume`;
}

function describeStart({ accelerated, kernelRelease }: SandboxBoot): string {
  const started = `Sandbox started (Linux ${kernelRelease})`;
  if (accelerated === null) return started;
  return accelerated
    ? `${started}, with hardware acceleration`
    : `${started}, in software emulation: the host offers no hardware acceleration, so everything in it takes many times as long`;
}

function factsOf(run: LiveRun, image: Prepared['image'], started: SandboxBoot): SandboxFacts {
  return {
    isolation: run.context.parts.isolation.kind,
    accelerated: started.accelerated,
    imageReference: image.reference,
    imageDigest: image.digest,
    toolboxDigest: run.context.parts.toolbox.digest,
    kernelDigest: started.kernelDigest,
    initramfsDigest: started.initramfsDigest,
    kernelRelease: started.kernelRelease,
    bootId: started.bootId,
  };
}
