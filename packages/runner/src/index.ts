export { cacheDirectory } from './cache-directory.ts';
export type { Isolation, Sandbox } from './isolation/isolation.ts';
export { type Runner, startRunner } from './runner.ts';
export type { ProxyOptions, RunnerLog, RunnerOptions, RunnerParts } from './runner-options.ts';
