import type { LeaseTiming } from '@slipway/core';
import type { Database } from './database/database.ts';
import type { DatabaseServer } from './database/database-server.ts';
import type { CallsUnderWay } from './http/calls-under-way.ts';
import type { RunSecrets } from './secrets/index.ts';

/** What every slice of the control plane is given. The clock is passed in, so that tests need no waiting. */
export interface ControlPlane {
  readonly db: Database;
  /** Where it is, for connections that a pool cannot give (LISTEN), and how it is. */
  readonly database: DatabaseServer;
  /** 32 bytes, kept outside the database: every encryption key is derived from it. */
  readonly masterKey: Buffer;
  /** What must not be told of a run. */
  readonly runSecrets: RunSecrets;
  readonly urls: ControlPlaneUrls;
  /** Of the runs that are claimed from now on. */
  readonly leaseTiming: LeaseTiming;
  readonly now: () => Date;
  readonly log: Log;
  readonly callsUnderWay: CallsUnderWay;
}

/** The URLs under which clients know this server; a state document is joined with the one that its reader used. */
export interface ControlPlaneUrls {
  /** As users log in: `pulumi login <publicUrl>`. Without a trailing slash. */
  readonly publicUrl: string;
  /** Others under which the same server is reached: loopback, the gateway of the sandboxes. */
  readonly others: readonly string[];
}

/** All URLs of this server, the public one first. */
export function allUrls({ publicUrl, others }: ControlPlaneUrls): readonly string[] {
  return [publicUrl, ...others];
}

export interface Log {
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}
