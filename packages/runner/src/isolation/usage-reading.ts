import type { ResourceUse } from '@slipway/core';

/** What a sandbox uses at one moment. */
export interface UseReading {
  readonly use: ResourceUse;
  /** The moment, in milliseconds by the monotonic clock of whoever counted: only differences say something. */
  readonly atMilliseconds: number;
}

/** As counted inside and on the host (`Usage` in core); null while that cannot be told. */
export interface UsageReading {
  readonly sandbox: UseReading | null;
  readonly host: UseReading | null;
}
