import { createReadStream } from 'node:fs';
import { mkdir, open, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { cachePartBytes } from '@slipway/core';
import type { BlobStorage, BlobUpload } from './blob-storage.ts';

/** Blobs as files of a folder, each under its last name only once it is complete and on the disk. */
export async function openFolderStorage(folder: string): Promise<BlobStorage> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const blobPath = (blobId: string) => join(folder, `${blobId}.blob`);
  const partialPath = ({ blobId }: BlobUpload) => join(folder, `${blobId}.partial`);
  return {
    place: folder,
    isRemote: false,
    async begin(blobId) {
      const upload = { blobId, uploadId: blobId };
      await using file = await open(partialPath(upload), 'wx', 0o600);
      await file.sync();
      return upload;
    },
    async putPart(upload, part, bytes) {
      await using file = await open(partialPath(upload), 'r+');
      for (let written = 0; written < bytes.length; ) {
        const position = part * cachePartBytes + written;
        written += (await file.write(bytes, written, bytes.length - written, position)).bytesWritten;
      }
      return { part, tag: '' };
    },
    async complete(upload) {
      {
        await using file = await open(partialPath(upload), 'r+');
        await file.sync();
      }
      await rename(partialPath(upload), blobPath(upload.blobId));
    },
    abort: (upload) => rm(partialPath(upload), { force: true }),
    read: async (blobId, start) => {
      // Opened first, so that a blob that is not there is told before the answer has begun.
      const file = await open(blobPath(blobId), 'r');
      return createReadStream('', { fd: file, start });
    },
    remove: (blobId) => rm(blobPath(blobId), { force: true }),
  };
}
