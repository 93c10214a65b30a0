export { deploymentRoutes } from './routes.ts';
export { deploymentRuns } from './runs.ts';
