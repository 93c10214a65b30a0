/** What every part of set-up is told. */
export interface SetUpOptions {
  /** Where things are kept that can be made again (`cacheDirectory`). */
  readonly cacheDirectory: string;
  /** Gets a line of text whenever there is progress. */
  readonly report: (line: string) => void;
}
