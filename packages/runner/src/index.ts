export { cacheDirectory } from './cache-directory.ts';
export { CapacityLedger } from './capacity/capacity-ledger.ts';
export { measureHost } from './capacity/host-resources.ts';
export { cacheDiskSizeGiB } from './dependency-cache/cache-disk-size.ts';
export { ensureGuest } from './guest/ensure-guest.ts';
export { chooseDefaultImage } from './images/default-choice.ts';
export type { Image, ImageConfig } from './images/image.ts';
export {
  createImageStore,
  type HeldImage,
  type ImageProgress,
  type ImageStore,
} from './images/image-store.ts';
export { ImageUnavailableError } from './images/image-unavailable.ts';
export type { PreparationFailure } from './images/preparation-failures.ts';
export {
  listImages,
  listPreparationFailures,
  pruneImages,
  type StoredImage,
} from './images/stored-images.ts';
export type { Isolation, Sandbox } from './isolation/isolation.ts';
export { detectAcceleration } from './isolation/vm/acceleration.ts';
export { type HostObstacle, tunObstacle, userNamespaceObstacle } from './network/host-obstacle.ts';
export { subordinateIds } from './network/subordinate-ids.ts';
export { pauseRunner, resumeRunner } from './pause.ts';
export { type Runner, startRunner } from './runner.ts';
export type { ProxyOptions, RunnerLog, RunnerOptions, RunnerParts } from './runner-options.ts';
export { openRunnerParts } from './runner-parts.ts';
export {
  type BuiltImage,
  buildDefaultImage,
  defaultImageReference,
} from './setup/default-image/default-image.ts';
export { ensureGvisor, findGvisor } from './setup/gvisor.ts';
export { ensureLanguageHost } from './setup/language-host.ts';
export { ensurePulumiCli } from './setup/pulumi-cli.ts';
export { runCommand } from './setup/run-command.ts';
export { ensureToolbox } from './toolbox/ensure-toolbox.ts';
export type { Toolbox } from './toolbox/toolbox.ts';
