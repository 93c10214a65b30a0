import type { Generated } from 'kysely';

export interface SecretTables {
  master_key: {
    only_row: Generated<boolean>;
    /** Of the key that all that is sealed was sealed with. */
    fingerprint: Buffer;
  };
  run_secrets: {
    run_id: string;
    number: number;
    /** Sealed for the run: JSON text, a list of strings. */
    sealed: Buffer;
    is_cut: boolean;
  };
}
