import { type FrameFromExecutor, maskPatterns, maskWith } from '@slipway/core';
import type { CacheConnection } from './cache/cache-connection.ts';
import type { Cancellation } from './cancellation.ts';
import { writeCertificateFiles } from './certificates.ts';
import { CommandNotFound } from './command.ts';
import { type Environment, type JobFrame, stepEnvironment, withDirectHosts } from './environment.ts';
import { readEnvironmentFile } from './environment-file.ts';
import { layoutOf } from './layout.ts';
import { StepLog } from './log/step-log.ts';
import { planSteps } from './plan.ts';
import type { RunnerConnection } from './runner-connection.ts';
import { type Step, StepFailure } from './step.ts';
import { becomeStepUser } from './step-user.ts';

type ResultFrame = Extract<FrameFromExecutor, { type: 'result' }>;

const maximumMessageCharacters = 8192;

/**
 * Carries out a run: announces its steps and does them in order, up to the first that fails or the cancellation.
 * Answers how it ended; rejects when the runner is gone or the sandbox cannot be prepared.
 */
export async function executeRun(
  frame: JobFrame,
  connection: RunnerConnection,
  cacheConnection: CacheConnection,
  cancellation: Cancellation,
): Promise<ResultFrame> {
  const { job, network, imageEnvironment } = frame;
  const cache = { connection: cacheConnection, transfer: frame.cacheTransfer };
  const patterns = maskPatterns(job.secrets);
  const steps = planSteps(job);
  await connection.send([{ type: 'plan', steps: steps.map((step) => step.name) }]);
  const layout = layoutOf(job);
  const home = await becomeStepUser(frame.stepUser, layout);
  const certificates =
    network.extraCertificates === ''
      ? null
      : await writeCertificateFiles(layout.executorDirectory, network.extraCertificates, imageEnvironment);
  const runEnvironment = stepEnvironment(frame, layout, certificates, home);

  for (const [index, step] of steps.entries()) {
    if (cancellation.interrupted.aborted) return cancelled(`The step "${step.name}" was not started.`);
    const report = (status: 'running' | 'succeeded' | 'failed') =>
      connection.send([{ type: 'step', step: index, status, timestamp: Date.now() }]);
    const log = new StepLog(connection, patterns, index);
    await report('running');
    try {
      const environment = withDirectHosts(
        { ...runEnvironment, ...(await loadedVariables(layout.environmentFile, log)) },
        network,
      );
      await step.run({ job, network, layout, environment, log, cancellation, cache });
      await report('succeeded');
    } catch (error) {
      await report('failed');
      if (cancellation.interrupted.aborted) return cancelled(`The step "${step.name}" was interrupted.`);
      const result = failed(error, step);
      return { ...result, message: maskWith(patterns, result.message).slice(0, maximumMessageCharacters) };
    }
  }
  return { type: 'result', outcome: 'succeeded' };
}

async function loadedVariables(path: string, log: StepLog): Promise<Environment> {
  const file = await readEnvironmentFile(path);
  if (file === null) return {};
  await log.write(`Loading PULUMI_ENV from ${path}`);
  for (const line of file.ignoredLines)
    await log.write(`Ignoring line ${line} of ${path}: it is not NAME=value.`);
  return file.variables;
}

function cancelled(message: string): ResultFrame {
  return { type: 'result', outcome: 'failed', cause: 'cancelled', message };
}

/** What the failure of a step means for the run. */
function failed(error: unknown, step: Step): ResultFrame & { message: string } {
  if (error instanceof StepFailure) {
    return { type: 'result', outcome: 'failed', cause: error.runCause, message: error.message };
  }
  if (error instanceof CommandNotFound) {
    const message = `The step "${step.name}" could not start: ${error.message}.`;
    return { type: 'result', outcome: 'failed', cause: 'image-unavailable', message };
  }
  const particulars = error instanceof Error ? (error.stack ?? error.message) : String(error);
  const message = `The executor failed in the step "${step.name}": ${particulars}`;
  return { type: 'result', outcome: 'failed', cause: 'internal-error', message };
}
