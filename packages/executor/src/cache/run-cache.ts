import type { WantedEntry } from './identify.ts';

/** What the step "Restore cache" leaves for the step "Save cache". */
export interface RunCache {
  entry?: WantedEntry;
  /** Whether what the run installs may become the entry. */
  mayBeSaved: boolean;
  /** Whether the entry was there already. */
  wasRestored: boolean;
}
