export {
  type DeploymentRecord,
  findDeployment,
  listDeployments,
} from './record.ts';
export { deploymentRoutes } from './routes.ts';
export { deploymentRuns } from './runs.ts';
