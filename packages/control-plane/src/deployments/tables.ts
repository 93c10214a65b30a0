import type { Operation } from '@slipway/core';
import type { Generated } from 'kysely';

export interface DeploymentTables {
  deployment_settings: {
    stack_id: string;
    /** JSON text (`StoredSettings`), secrets as ciphertext. */
    settings: string;
    source: string;
    version: Generated<number>;
  };
  stack_sandbox_settings: {
    stack_id: string;
    /** JSON text (`SandboxSettings`). */
    settings: string;
  };
  deployments: {
    /** Also the id of its run. */
    id: string;
    stack_id: string;
    version: number;
    operation: Operation;
    /** JSON text (`StoredSettings`): the merged settings as they were when the deployment was requested. */
    settings: string;
    requested_by: string | null;
    initiator: string;
    sealed_job_token: Buffer | null;
  };
}
