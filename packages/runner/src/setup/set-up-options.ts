/** What every part of set-up is told. */
export interface SetUpOptions {
  /** Where things are kept that can be made again (`cacheDirectory`). */
  readonly cacheDirectory: string;
  /** Gets a line of text whenever there is progress. */
  readonly report: (line: string) => void;
  /** Gets how far a stage is, where that can be counted. */
  readonly progress?: (progress: SetUpProgress) => void;
}

export interface SetUpProgress {
  readonly stage: string;
  readonly done: number;
  /** Absent where nobody knows. */
  readonly total?: number;
  readonly unit: 'bytes' | 'layers' | 'packages';
}
