export {
  type DeploymentRecord,
  findDeployment,
  listDeployments,
} from './record.ts';
export { removeDeploymentsOfRemovedStacks } from './remove-orphans.ts';
export { deploymentRoutes } from './routes.ts';
export { deploymentRuns } from './runs.ts';
