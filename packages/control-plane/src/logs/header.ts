import type { Operation } from '@slipway/core';

/** What of a run decides whether a header of its log may be shown. */
export interface HeaderRule {
  readonly operation: Operation;
  readonly isFinished: boolean;
  /** Whether the run has made an update of the operation's kind. */
  readonly hasUpdate: boolean;
}

/** A header in the place of one that the CLI must not read: the name that older versions of the service used. */
const neutralHeader = 'Pulumi operation';

/**
 * How a header is shown.
 *
 * At `pulumi <operation>` the CLI stops to read the log, looks for an update of the run and fails when none comes within
 * 5 seconds (Pulumi CLI backend/httpstate: `backend.go`, RunDeployment). So that header, with everything behind it, is
 * held back until there is an update; when the run has ended without one, it reads differently. The drift operations
 * make no update of their own kind, and the CLI knows no label for them: their header always reads differently.
 */
export function shownHeader(run: HeaderRule, header: string): { readonly text: string } | 'held-back' {
  if (header !== `pulumi ${run.operation}`) return { text: header };
  const isDrift = run.operation === 'detect-drift' || run.operation === 'remediate-drift';
  if (isDrift) return { text: neutralHeader };
  if (run.hasUpdate) return { text: header };
  return run.isFinished ? { text: neutralHeader } : 'held-back';
}
