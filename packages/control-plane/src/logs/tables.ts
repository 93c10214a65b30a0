export interface LogTables {
  run_log_lines: {
    run_id: string;
    sequence: number;
    step: number;
    kind: 'header' | 'line';
    logged_at: Date;
    text: string;
    /** Sealed JSON text (`HeldText`). */
    held: Buffer | null;
  };
}
