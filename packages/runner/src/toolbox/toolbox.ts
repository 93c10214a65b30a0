/**
 * Node and the bundled executor with their own loader and libraries, so that they run in any image. One EROFS file,
 * named by its content.
 */
export interface Toolbox {
  /** `sha256:…` of the EROFS file. */
  readonly digest: string;
  readonly erofsPath: string;
  /** How the executor is started inside, where the toolbox is mounted at `/slipway`. */
  readonly executorArgv: readonly string[];
}
