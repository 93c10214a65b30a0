import type { Readable } from 'node:stream';

/** A blob that is being put together. */
export interface BlobUpload {
  /** Names the blob: letters, digits and `-`. */
  readonly blobId: string;
  /** What the storage itself calls the upload. */
  readonly uploadId: string;
}

/** A part of a blob that the storage has, and what it calls it. */
export interface StoredPart {
  readonly part: number;
  readonly tag: string;
}

/**
 * Keeps large things that mean nothing to the control plane. They are written once, in parts of `cachePartBytes` (the
 * last one may be shorter) in any order, and read from any offset on.
 */
export interface BlobStorage {
  begin(blobId: string): Promise<BlobUpload>;
  /** Writing a part again replaces it. */
  putPart(upload: BlobUpload, part: number, bytes: Buffer): Promise<StoredPart>;
  /** Makes the blob readable. `parts` are all of them, in order. */
  complete(upload: BlobUpload, parts: readonly StoredPart[]): Promise<void>;
  abort(upload: BlobUpload): Promise<void>;
  /** The bytes from `start` to the end of the blob. */
  read(blobId: string, start: number): Promise<Readable>;
  remove(blobId: string): Promise<void>;
  /** Where blobs are, for people; tells nothing secret. */
  readonly place: string;
  /** Whether it outlives this host. */
  readonly isRemote: boolean;
}
