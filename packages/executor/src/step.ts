import type { CacheTransfer, ExecutorCause, Job, NetworkSettings } from '@slipway/core';
import type { CacheConnection } from './cache/cache-connection.ts';
import type { Cancellation } from './cancellation.ts';
import type { Environment } from './environment.ts';
import type { Layout } from './layout.ts';
import type { StepLog } from './log/step-log.ts';

/** One named part of a run. */
export interface Step {
  /** As the log's header and the API name it. */
  readonly name: string;
  /** Throws `StepFailure` when the step fails for a reason that the user can do something about. */
  run(context: StepContext): Promise<void>;
}

/** What every step of a run works with. */
export interface StepContext {
  readonly job: Job;
  readonly network: NetworkSettings;
  readonly layout: Layout;
  /** Environment of this step's commands. */
  readonly environment: Environment;
  readonly log: StepLog;
  readonly cancellation: Cancellation;
  /** The runner's cache of dependencies; without a way of transfer it keeps none. */
  readonly cache: { readonly connection: CacheConnection; readonly transfer: CacheTransfer | undefined };
}

/** A step failed; the message names what failed and says what to do. */
export class StepFailure extends Error {
  override readonly name = 'StepFailure';
  readonly runCause: ExecutorCause;

  constructor(runCause: ExecutorCause, message: string) {
    super(message);
    this.runCause = runCause;
  }
}
