import * as z from 'zod';
import { stackIdentity } from './names.ts';
import { operation, workflow } from './run.ts';

/** How the executor logs in to a git host. Exactly one, or none for a public repository. */
export const gitCredentials = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('token'), token: z.string() }),
  z.object({ kind: z.literal('basic'), userName: z.string(), password: z.string() }),
  z.object({ kind: z.literal('ssh'), privateKey: z.string(), passphrase: z.string().optional() }),
]);
export type GitCredentials = z.infer<typeof gitCredentials>;

/** Where the Pulumi program is. At most one of branch, tag and commit leads; a commit may come with either. */
export const gitSource = z.object({
  kind: z.literal('git'),
  repoUrl: z.string(),
  branch: z.string().optional(),
  tag: z.string().optional(),
  commit: z.string().optional(),
  /** Folder of the project, relative to the root of the repository. */
  repoDir: z.string().optional(),
  credentials: gitCredentials.optional(),
});
export type GitSource = z.infer<typeof gitSource>;

export const deploymentOptions = z.object({
  skipInstallDependencies: z.boolean().default(false),
  deleteAfterDestroy: z.boolean().default(false),
  remediateIfDriftDetected: z.boolean().default(false),
  /** Whether what the project depends on is taken from the cache and kept there. */
  cacheDependencies: z.boolean().default(false),
  /** Shell of the pre-run commands; `/bin/sh` when absent. */
  shell: z.string().optional(),
});
export type DeploymentOptions = z.infer<typeof deploymentOptions>;

/**
 * Everything that the executor needs, secrets included. It exists only in the memory of control plane, runner and
 * executor: it is sent when the executor says `ready`, down the channel, and nowhere else.
 */
export const job = z.object({
  runId: z.string(),
  workflow,
  stack: stackIdentity,
  operation,
  deployment: z.object({ id: z.string(), version: z.number().int() }),
  /** Access token for this stack and this run alone. */
  jobToken: z.string(),
  /** Page of the run, for `PULUMI_CI_BUILD_URL`; empty when there is none. */
  consoleUrl: z.string(),
  source: gitSource,
  /** Environment variables of the user, secrets in clear. */
  environment: z.record(z.string(), z.string()),
  preRunCommands: z.array(z.string()),
  options: deploymentOptions,
  /** Root of the executor's working files: `/` unless the settings say otherwise (`executorRootPath`). */
  executorRootPath: z.string().default('/'),
  /** Texts that must never appear in a log line: every secret of the job, the job token included. */
  secrets: z.array(z.string()),
});
export type Job = z.infer<typeof job>;
