import type { RunOutline, SandboxFacts } from '@slipway/core';
import type { SandboxBoot } from '../isolation/isolation.ts';
import type { LiveRun } from './live-run.ts';
import { holdNetwork, type Prepared, type PreparedStart, type PreparedWaiting } from './prepared.ts';
import { type Executor, endExecutor, startDeadline, startExecutor, untilReady } from './start-executor.ts';

/** Answers a sandbox whose executor waits for its job. */
export async function boot(run: LiveRun, prepared: Prepared): Promise<Executor> {
  return 'waiting' in prepared ? use(run, prepared) : start(run, prepared);
}

async function use(run: LiveRun, { image, waiting }: PreparedWaiting): Promise<Executor> {
  // At once, and to be destroyed in the opposite order: nobody else holds it any more.
  const { executor, ageSeconds, ...rest } = waiting.give();
  run.resources.hold('image of the sandbox', Promise.resolve(rest.image), ({ release }) => release());
  holdNetwork(run, Promise.resolve(rest.network));
  run.resources.hold('sandbox', Promise.resolve(executor), endExecutor);
  adopt(run, executor);
  run.usage.begin(executor.sandbox, { sandboxIsNew: false });
  run.report.sandboxIs(factsOf(run, image, executor.boot));
  await run.report.setup(`Taking a sandbox that was started ${ageSeconds} s ago (${describe(run)})`);
  await run.report.setup(describeStart(executor.boot));
  return executor;
}

/** For as long as the start deadline allows. */
async function start(run: LiveRun, { image, network }: PreparedStart): Promise<Executor> {
  const { options, parts } = run.context;
  const isReady = startDeadline(options, (reason) => run.stop(reason));
  try {
    await run.report.setup(`Starting sandbox (${describe(run)})`);
    const creating = startExecutor(parts, {
      id: sandboxName(run.outline),
      image,
      network,
      size: run.size,
      silenceSeconds: run.lease.timing.guestSilenceSeconds,
    }).then((executor) => {
      run.usage.begin(executor.sandbox, { sandboxIsNew: true });
      return adopt(run, executor);
    });
    const held = run.resources.hold('sandbox', creating, endExecutor);
    const executor = await run.unlessStopped(run.phases.measure('sandbox', held));
    const started = await run.unlessStopped(run.phases.measure('boot', executor.sandbox.started));
    run.report.sandboxIs(factsOf(run, image, started));
    await run.report.setup(describeStart(started));
    await run.unlessStopped(run.phases.measure('ready', untilReady(executor)));
    return executor;
  } finally {
    isReady();
  }
}

/** From now on the sandbox is the run's, also when the run was stopped while it was made. */
function adopt(run: LiveRun, executor: Executor): Executor {
  const { sandbox, channel } = executor;
  run.sandbox = sandbox;
  run.stopped.addEventListener('abort', () => channel.close(), { once: true });
  return executor;
}

/** A host name, which is shorter than a run id may be, and does not end with a dash. */
function sandboxName({ runId }: RunOutline): string {
  return `run-${runId}`.slice(0, 60).replace(/-+$/, '');
}

function describe({ context, size: { cpus, memoryMiB, volumeGiB } }: LiveRun): string {
  const { kind } = context.parts.isolation;
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
    size: run.size,
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
