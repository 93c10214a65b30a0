export * from './cache-contract.ts';
export * from './capacity.ts';
export * from './cause.ts';
export * from './dependency-cache.ts';
export * from './deployment-settings.ts';
export * from './disk-full.ts';
export * from './egress.ts';
export * from './executor-protocol.ts';
export * from './free-buffer.ts';
export * from './harmless-text.ts';
export * from './image-registry.ts';
export * from './job.ts';
export * from './lease-timing.ts';
export * from './log-line.ts';
export {
  cutText,
  type HeldText,
  heldText,
  maskPatterns,
  maskText,
  maskWith,
  type SecretPatterns,
  StreamMasker,
} from './masking.ts';
export * from './names.ts';
export * from './rehearsal.ts';
export * from './run.ts';
export * from './runner-contract.ts';
export * from './sandbox-settings.ts';
export { formsOfSecret, maximumPatternLength, minimumSecretLength } from './secret-forms.ts';
export * from './settings-merge.ts';
export * from './usage.ts';
