export interface SecretTables {
  run_secrets: {
    run_id: string;
    number: number;
    /** Sealed for the run: JSON text, a list of strings. */
    sealed: Buffer;
    is_cut: boolean;
  };
}
