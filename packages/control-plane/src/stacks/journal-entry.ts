import { z } from 'zod';

/** What a journal entry says (`apitype.JournalEntryKind`). */
export const entryKind = {
  begin: 0,
  success: 1,
  failure: 2,
  refreshSuccess: 3,
  outputs: 4,
  write: 5,
  secretsManager: 6,
  rebuiltBaseState: 7,
  extensionParameterize: 8,
  snippets: 9,
} as const;

const number = z.number().int().min(0).max(Number.MAX_SAFE_INTEGER);
/** An index into the resources of the base (`…Old`), or the operation that made a new resource (`…New`). */
const reference = number.nullish();

/**
 * One step of an update (`apitype.JournalEntry`): only what tells how to replay it. Resources and all other documents
 * in it are taken from its text.
 */
export const journalEntry = z.object({
  version: z.literal(1),
  kind: z.enum(entryKind),
  sequenceID: number,
  operationID: number,
  removeOld: reference,
  removeNew: reference,
  pendingReplacementOld: reference,
  pendingReplacementNew: reference,
  deleteOld: reference,
  deleteNew: reference,
  isRefresh: z.boolean().nullish(),
  requiresByteString: z.boolean().nullish(),
  extensionRef: z.string().nullish(),
});
export type JournalEntry = z.infer<typeof journalEntry>;
