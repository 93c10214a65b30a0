import * as z from 'zod';

/** What a runner can be asked to do. */
export const workflow = z.enum(['deployment', 'insights_scan', 'policy_evaluation']);
export type Workflow = z.infer<typeof workflow>;

/** A queued Pulumi operation (Pulumi's REST API: `PulumiOperation`). */
export const operation = z.enum([
  'update',
  'preview',
  'refresh',
  'destroy',
  'detect-drift',
  'remediate-drift',
]);
export type Operation = z.infer<typeof operation>;

/** The platform that runners and executor images share today. It is part of claim, run and image keys. */
export const platform = z.enum(['linux/amd64']);
export type Platform = z.infer<typeof platform>;

/** The kind of a sandbox. */
export const isolationKind = z.enum(['vm', 'gvisor', 'container']);
export type IsolationKind = z.infer<typeof isolationKind>;

/**
 * States of a run.
 *
 * `queued` → `claimed` (a runner holds it, its job was not handed out: it has done nothing and may be queued again)
 * → `running` (its job was handed out: never run again by itself) → `finished`.
 */
export const runState = z.enum(['queued', 'claimed', 'running', 'finished']);
export type RunState = z.infer<typeof runState>;

/** How a finished run ended. `skipped`: it was taken out of the queue before a runner claimed it. */
export const runOutcome = z.enum(['succeeded', 'failed', 'skipped']);
export type RunOutcome = z.infer<typeof runOutcome>;

/** Status of a step (Pulumi's REST API: `StepRun.status`). */
export const stepStatus = z.enum(['not-started', 'running', 'failed', 'succeeded']);
export type StepStatus = z.infer<typeof stepStatus>;

/** Status of a deployment on the wire (Pulumi's REST API: `GetDeploymentResponse.status`). */
export const deploymentStatus = z.enum([
  'not-started',
  'accepted',
  'running',
  'failed',
  'succeeded',
  'skipped',
]);
export type DeploymentStatus = z.infer<typeof deploymentStatus>;

/** The documented status of a run's deployment, from the run's own state. */
export function deploymentStatusOf(state: RunState, outcome: RunOutcome | null): DeploymentStatus {
  switch (state) {
    case 'queued':
      return 'not-started';
    case 'claimed':
      return 'accepted';
    case 'running':
      return 'running';
    case 'finished':
      return outcome ?? 'failed';
  }
}

/** The size of a sandbox. */
export const sandboxSize = z.object({
  cpus: z.number().int().min(1).max(64),
  memoryMiB: z.number().int().min(256),
  volumeGiB: z.number().int().min(1),
});
export type SandboxSize = z.infer<typeof sandboxSize>;

/** The default size: 2 vCPU, 8 GB, 32 GB. */
export const defaultSandboxSize: SandboxSize = { cpus: 2, memoryMiB: 8192, volumeGiB: 32 };
