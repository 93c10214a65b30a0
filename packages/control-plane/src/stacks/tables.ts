import type { ColumnType, Generated } from 'kysely';

type Written = ColumnType<Date, never, never>;

export interface StackTables {
  projects: { id: Generated<string>; organization_id: string; name: string; created_at: Written };
  stacks: {
    id: Generated<string>;
    project_id: string;
    name: string;
    /** Written as JSON text. */
    tags: ColumnType<Record<string, string>, string | undefined, string>;
    version: Generated<number>;
    created_at: Written;
  };
  updates: {
    id: Generated<string>;
    stack_id: string;
    kind: UpdateKind;
    is_preview: boolean;
    state: Generated<'created' | 'running' | 'finished'>;
    result: 'succeeded' | 'failed' | null;
    version: Generated<number>;
    run_id: string | null;
    requested_by: string | null;
    message: string;
    environment: string;
    config: string;
    resource_changes: string | null;
    journal_bytes: Generated<number>;
    event_bytes: Generated<number>;
    lease_token_hash: Buffer | null;
    lease_ends_at: Date | null;
    created_at: Written;
    started_at: Date | null;
    ended_at: Date | null;
  };
  checkpoints: {
    stack_id: string;
    version: number;
    schema_version: number;
    features: string | null;
    document: string;
    url_offset: number | null;
    resource_count: number;
    written_at: Written;
  };
  written_states: { update_id: string; body: Buffer; own_urls: string[] };
  journal_entries: { update_id: string; sequence: number; entry: string };
  engine_events: { update_id: string; sequence: number; event: string };
}

/** Pulumi's own kinds (`apitype.UpdateKind`); the first four are made by `POST {stack}/{kind}`. */
export type UpdateKind = 'update' | 'preview' | 'refresh' | 'destroy' | 'import' | 'rename';
