/** Where PostgreSQL is: a URL, or the socket of the embedded server. */
export type DatabaseLocation =
  | { readonly url: string }
  | { readonly socketDirectory: string; readonly databaseName: string; readonly userName: string };

/** The PostgreSQL server that the control plane works with. */
export interface DatabaseServer {
  readonly location: DatabaseLocation;
  /** False while it is being started again. */
  readonly isServing: boolean;
  /** Waits a moment for one that is being started again. Throws (503, 507) when it does not serve by then. */
  ready(): Promise<void>;
  /** Throws (507) when its disk has no room for what clients want to have kept. */
  requireRoom(): Promise<void>;
}

/** A server of the user's own, whose disk and life are their business. */
export function databaseServerAt(url: string): DatabaseServer {
  return {
    location: { url },
    isServing: true,
    ready: async () => undefined,
    requireRoom: async () => undefined,
  };
}
