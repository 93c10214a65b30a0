import type { Cause, Platform, RunOutcome, RunState, StepStatus, Workflow } from '@slipway/core';
import type { ColumnType, Generated } from 'kysely';

export interface QueueTables {
  lanes: { id: string; last_number: Generated<number> };
  runs: {
    id: Generated<string>;
    workflow: Workflow;
    lane_id: string;
    number: number;
    pool_id: string;
    platform: Platform;
    state: Generated<RunState>;
    outcome: RunOutcome | null;
    cause: Cause | null;
    message: string | null;
    created_at: ColumnType<Date, never, never>;
    modified_at: ColumnType<Date, never, never>;
    started_at: Date | null;
    finished_at: Date | null;
    cancel_requested_at: Date | null;
    runner_id: string | null;
    claim_nonce: string | null;
    claim_id: string | null;
    claims: Generated<number>;
    lease_token_hash: Buffer | null;
    delivery_token_hash: Buffer | null;
    lease_ends_at: Date | null;
    lease_seconds: Generated<number>;
    free_after_end_seconds: Generated<number>;
    sandbox: string | null;
    /** JSON text (`RunSandbox`). */
    granted_sandbox: Generated<string>;
    cpus: number | null;
    memory_mib: number | null;
    volume_gib: number | null;
    caches: Generated<boolean>;
    phase_milliseconds: string | null;
    /** JSON text (`EgressRecord`). */
    egress: string | null;
    /** JSON text (`UsageSummary`). */
    usage: string | null;
    log_bytes: Generated<number>;
  };
  run_usage_samples: {
    run_id: string;
    ended_at: Date;
    seconds: number;
    /** JSON text (`Usage`). */
    usage: string;
  };
  run_steps: {
    run_id: string;
    step: number;
    name: string;
    status: StepStatus;
    started_at: Date | null;
    updated_at: Date | null;
  };
}
