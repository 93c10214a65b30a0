import type { Generated } from 'kysely';

export interface DependencyCacheTables {
  dependency_caches: { project_id: string; generation: Generated<number> };
}
