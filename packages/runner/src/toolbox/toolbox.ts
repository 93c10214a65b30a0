/**
 * Node and the executor with their own loader and libraries, so that they run in any image: one EROFS file. The
 * executor is there as its script and as a snapshot of Node's heap with that script loaded, which is what is started.
 */
export interface Toolbox {
  /**
   * `sha256:…` of what it is made from: the same on every host that has the same Node, libraries and executor. No two
   * snapshots are the same, so it says nothing of the EROFS file's bytes.
   */
  readonly digest: string;
  readonly erofsPath: string;
  /** How the executor is started inside, where the toolbox is mounted at `/slipway`. */
  readonly executorArgv: readonly string[];
}
