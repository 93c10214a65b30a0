/** One thing that Slipway needs of a host, as found. */
export interface Finding {
  readonly check: string;
  /** `note`: Slipway works, with what the message tells. */
  readonly state: 'ok' | 'note' | 'missing';
  readonly message: string;
  /** The command, or the change, that ends it. */
  readonly fix?: string;
}

const signs = { ok: '✔', note: '•', missing: '✘' } as const;

/** A finding for people, in one or two lines. */
export function formatFinding({ check, state, message, fix }: Finding): string {
  return `${signs[state]} ${check}: ${message}${fix === undefined ? '' : `\n    fix: ${fix}`}`;
}
