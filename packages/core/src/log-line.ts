import * as z from 'zod';

/** Most UTF-16 code units of a line of a log: escaped as JSON they still fit in one frame. A longer line comes in pieces. */
export const maximumLineCharacters = 64 * 1024;

/**
 * What a piece of a longer line is part of. A step may have several such lines under way at once, one for each stream that
 * its commands and what they have left in the background write to: their pieces come in any order, those of one line in its
 * own.
 */
export const linePiece = z.object({
  /** Counts the longer lines of the step. */
  line: z
    .int()
    .min(1)
    .max(2 ** 31 - 1),
  /** Whether the line ends with it. All pieces before are as long as a line may be, but cut through no surrogate pair. */
  isLast: z.boolean(),
});
export type LinePiece = z.infer<typeof linePiece>;
