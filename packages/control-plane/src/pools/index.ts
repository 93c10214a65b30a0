export { runnersOnline } from './administration.ts';
export { type ImageFailureOfRunner, imageFailuresInPool, storeImageFailures } from './image-failures.ts';
export { ensureDefaultPool, type PoolRecord, poolOfRun, poolToken } from './pool.ts';
export { removeRunners } from './remove-runners.ts';
export { poolRoutes } from './routes.ts';
export { findRunner, otherHostsOfPool, type RunnerRecord, registerRunner } from './runner.ts';
export { sandboxSettingsOfPool } from './sandbox-settings.ts';
