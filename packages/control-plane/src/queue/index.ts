export { cancelRun } from './cancel.ts';
export { enqueueRun } from './enqueue.ts';
export { recoverLostRuns } from './recover.ts';
export { type RunReport, reportOfRun, stepsOfRuns } from './report.ts';
export { queueRoutes } from './routes.ts';
export { findRun, findRuns, type RunRecord } from './run.ts';
export { reasonForWaiting } from './waiting.ts';
export { wakeImages } from './wake-up.ts';
export type { WorkflowRuns } from './workflow.ts';
