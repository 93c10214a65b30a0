import type { ColumnType, Generated } from 'kysely';

export interface StackTables {
  projects: {
    id: Generated<string>;
    organization_id: string;
    name: string;
    created_at: ColumnType<Date, never, never>;
  };
  stacks: {
    id: Generated<string>;
    project_id: string;
    name: string;
    created_at: ColumnType<Date, never, never>;
  };
}
