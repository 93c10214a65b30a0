/** What a namespace of a grant is of: one project in one pool, since the cache of the project was last cleared. */
export interface Namespace {
  readonly poolId: string;
  readonly projectId: string;
  readonly generation: number;
}

export function formatNamespace({ poolId, projectId, generation }: Namespace): string {
  return `${poolId}/${projectId}/${generation}`;
}
