export * from './cause.ts';
export * from './executor-protocol.ts';
export * from './job.ts';
export * from './masking.ts';
export * from './names.ts';
export * from './run.ts';
export * from './runner-contract.ts';
