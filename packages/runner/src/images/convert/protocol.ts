import { z } from 'zod';

/** What the process that converts an image is told, as one line of JSON on its standard input. */
export const conversionRequest = z.object({
  /** Blobs of the layers, first to last. */
  layers: z.array(z.string()),
  /** Where the device is made: a file that does not exist yet. A scratch file is made beside it, for a moment. */
  devicePath: z.string(),
  /** 32 hexadecimal digits. */
  uuid: z.string().regex(/^[0-9a-f]{32}$/),
  searchPath: z.string().optional(),
  /** `USER` of the image's configuration. */
  user: z.string(),
  limits: z.object({ unpackedBytes: z.number(), entries: z.number(), metadataBytes: z.number() }),
  /** The user that it becomes before it reads anything; absent where it has no rights to drop. */
  becomeUserId: z.number().optional(),
});
export type ConversionRequest = z.infer<typeof conversionRequest>;

/** What it answers, a line of JSON each; the last one is not `progress`. */
export const conversionAnswer = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('progress'), unpackedBytes: z.number(), layer: z.number() }),
  z.object({
    kind: z.literal('done'),
    deviceBytes: z.number(),
    user: z.object({
      userId: z.number(),
      groupId: z.number(),
      furtherGroupIds: z.array(z.number()).readonly(),
      home: z.string(),
    }),
  }),
  z.object({ kind: z.literal('refused'), message: z.string() }),
]);
export type ConversionAnswer = z.infer<typeof conversionAnswer>;
