import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { recordName } from './store-folder.ts';

/** What is written beside a device. */
export const imageRecord = z.object({
  digest: z.string(),
  /** As the user wrote it who had the image converted first. */
  reference: z.string(),
  /** Where it came from; null where it was built on this host. */
  repository: z.string().nullable().default(null),
  /** Whether every run may have it that names the repository, since the runner's host or anybody could fetch it. */
  isOpen: z.boolean().default(false),
  config: z.object({
    environment: z.record(z.string(), z.string()),
    user: z.object({
      userId: z.number(),
      groupId: z.number(),
      furtherGroupIds: z.array(z.number()).readonly().default([]),
      home: z.string(),
    }),
  }),
});
export type ImageRecord = z.infer<typeof imageRecord>;

export async function writeRecord(folder: string, record: ImageRecord): Promise<void> {
  await writeFile(join(folder, recordName), JSON.stringify(record));
}

/** The record in a device's folder; undefined when the folder is gone. */
export async function readRecord(folder: string): Promise<ImageRecord | undefined> {
  try {
    return imageRecord.parse(JSON.parse(await readFile(join(folder, recordName), 'utf8')));
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw error;
  }
}
