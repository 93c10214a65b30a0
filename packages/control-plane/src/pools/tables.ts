import type { ColumnType, Generated } from 'kysely';

export interface PoolTables {
  pools: {
    id: Generated<string>;
    organization_id: string;
    name: string;
    description: string;
    is_default: Generated<boolean>;
    /** JSON text (`PoolSandboxSettings`). */
    sandbox_settings: Generated<string>;
    /** SHA-256 of the token that its runners carry. */
    token_hash: Buffer;
    created_at: ColumnType<Date, never, never>;
  };
  runners: {
    id: Generated<string>;
    pool_id: string;
    hostname: string;
    process_id: number;
    version: string;
    platform: string;
    isolation: string;
    slots: number;
    /** The IP address from which it registered. */
    address: string;
    registered_at: ColumnType<Date, never, never>;
    last_seen_at: ColumnType<Date, never, Date>;
    /** JSON text (`capacity` and `isPaused` of a claim). */
    capacity: string | null;
    /** JSON text (list of `ImageFailure`). */
    image_failures: Generated<string>;
  };
}
