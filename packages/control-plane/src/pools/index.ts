export { ensureDefaultPool, findPool, type PoolRecord, poolOfRun } from './pool.ts';
export { poolRoutes } from './routes.ts';
export { findRunner, type RunnerRecord, registerRunner } from './runner.ts';
export { sandboxSettingsOfPool } from './sandbox-settings.ts';
