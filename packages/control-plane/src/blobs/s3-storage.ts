import { Readable } from 'node:stream';
import type { S3Client } from '@aws-sdk/client-s3';
import type { BlobStorage, BlobUpload } from './blob-storage.ts';

/** A bucket of an S3-compatible service. */
export interface S3Location {
  readonly bucket: string;
  /** Stands before every key; empty, or with a slash at its end. */
  readonly prefix: string;
  readonly region: string;
  /** Of services other than AWS. */
  readonly endpoint: string | undefined;
}

/**
 * Reads `s3://bucket/prefix?region=…&endpoint=https://…`. Throws an `Error` that says how to write it.
 */
export function parseS3Location(text: string): S3Location {
  const wrong = (why: string) =>
    new Error(
      `"${text}" is no place for blobs: ${why}. Write s3://BUCKET/PREFIX?region=REGION, with &endpoint=URL for services other than AWS.`,
    );
  const url = URL.parse(text);
  if (url === null || url.protocol !== 's3:' || url.hostname === '') throw wrong('it is no s3:// URL');
  if (url.username !== '' || url.password !== '') {
    throw wrong('credentials belong into AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a profile');
  }
  const endpoint = url.searchParams.get('endpoint') ?? undefined;
  if (endpoint !== undefined && !/^https?:\/\//.test(endpoint)) throw wrong('its endpoint is no http URL');
  const prefix = url.pathname.replace(/^\/+|\/+$/g, '');
  return {
    bucket: url.hostname,
    prefix: prefix === '' ? '' : `${prefix}/`,
    region: url.searchParams.get('region') ?? 'us-east-1',
    endpoint,
  };
}

/**
 * Blobs as objects of a bucket, uploaded in several parts. Credentials are looked for where every AWS tool does: in
 * variables, profiles, the metadata service.
 */
export async function openS3Storage(location: S3Location): Promise<BlobStorage> {
  // Only where it is configured: loading it takes its time and memory.
  const s3 = await import('@aws-sdk/client-s3');
  const { bucket: Bucket, prefix, region, endpoint } = location;
  const client: S3Client = new s3.S3Client({
    region,
    ...(endpoint !== undefined && { endpoint, forcePathStyle: true }),
    // Compatible services know the older checksums only; parts are checked by their SHA-256 anyway.
    requestChecksumCalculation: 'WHEN_REQUIRED',
    responseChecksumValidation: 'WHEN_REQUIRED',
  });
  const object = (blobId: string) => ({ Bucket, Key: `${prefix}${blobId}` });
  const partOf = ({ blobId, uploadId }: BlobUpload) => ({ ...object(blobId), UploadId: uploadId });
  return {
    place: `s3://${Bucket}/${prefix}`,
    isRemote: true,
    async begin(blobId) {
      const { UploadId } = await client.send(new s3.CreateMultipartUploadCommand(object(blobId)));
      if (UploadId === undefined) throw new Error(`The bucket ${Bucket} began an upload without a name.`);
      return { blobId, uploadId: UploadId };
    },
    async putPart(upload, part, bytes) {
      const { ETag = '' } = await client.send(
        new s3.UploadPartCommand({
          ...partOf(upload),
          PartNumber: part + 1,
          Body: bytes,
          ContentLength: bytes.length,
        }),
      );
      return { part, tag: ETag };
    },
    async complete(upload, parts) {
      const Parts = parts.map(({ part, tag }) => ({ PartNumber: part + 1, ETag: tag }));
      await client.send(
        new s3.CompleteMultipartUploadCommand({ ...partOf(upload), MultipartUpload: { Parts } }),
      );
    },
    async abort(upload) {
      await client.send(new s3.AbortMultipartUploadCommand(partOf(upload)));
    },
    async read(blobId, start) {
      const { Body } = await client.send(
        new s3.GetObjectCommand({ ...object(blobId), Range: `bytes=${start}-` }),
      );
      if (Body instanceof Readable) return Body;
      throw new Error(`The bucket ${Bucket} answered the object ${blobId} without its bytes.`);
    },
    async remove(blobId) {
      await client.send(new s3.DeleteObjectCommand(object(blobId)));
    },
  };
}
