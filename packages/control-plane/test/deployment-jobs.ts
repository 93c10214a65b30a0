import type { TestRunner } from './deployments-server.ts';

export const gitUrl = 'https://git.example.com/shop.git';

/** The body that `pulumi deployment run` sends when its user gives no flag (Pulumi CLI v3.259.0). */
export const bareRequest = {
  operation: 'update',
  inheritSettings: true,
  executorContext: { workingDirectory: '' },
  operationContext: { preRunCommands: [], operation: '', environmentVariables: {} },
  agentPoolID: null,
};

/** The job of a deployment that has just been queued; the run is then finished. */
export async function jobOfNext(runner: TestRunner) {
  const run = await runner.mustClaim();
  const job = await run.job();
  await run.finish();
  return { job, outline: run.claim.run };
}
