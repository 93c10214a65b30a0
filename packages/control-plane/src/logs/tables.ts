export interface LogTables {
  /** Lines that follow each other: no number is in two chunks. */
  run_log_chunks: {
    run_id: string;
    first_sequence: number;
    line_count: number;
    step: number;
    kind: 'header' | 'line';
    logged_at: Date;
    text: string;
    /** Of a piece of a longer line: the number of that line in its step. */
    long_line: number | null;
    /** Of the last piece so far. Sealed JSON text (`HeldText`). */
    held: Buffer | null;
  };
  /** How many lines of a step are in chunks that begin in a block of numbers. */
  run_log_blocks: {
    run_id: string;
    step: number;
    block: number;
    line_count: number;
  };
}
