import type { ColumnType, Generated } from 'kysely';

export interface DependencyCacheTables {
  dependency_caches: { project_id: string; generation: Generated<number> };
  cache_entries: {
    id: string;
    namespace: string;
    scope: string;
    name: string;
    blob_bytes: number;
    sha256: string;
    upload_id: string | null;
    created_at: ColumnType<Date, never, never>;
    read_at: ColumnType<Date, never, Date>;
  };
  cache_entry_parts: { entry_id: string; part: number; tag: string };
}
