import { join } from 'node:path';
import type { BlobStorage } from './blob-storage.ts';
import { openFolderStorage } from './folder-storage.ts';
import { openS3Storage, parseS3Location } from './s3-storage.ts';

export type { BlobStorage, BlobUpload, StoredPart } from './blob-storage.ts';

/** The storage that `place` names (`s3://…`), or a folder of the data directory where it names none. */
export function openBlobStorage(place: string | undefined, dataDirectory: string): Promise<BlobStorage> {
  return place === undefined
    ? openFolderStorage(join(dataDirectory, 'blobs'))
    : openS3Storage(parseS3Location(place));
}
