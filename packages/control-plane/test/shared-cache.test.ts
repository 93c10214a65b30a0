import { createHash, randomBytes } from 'node:crypto';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import {
  cacheLookupResponse,
  cacheOfferResponse,
  cachePartBytes,
  digestHeader,
  registerResponse,
  runnerContractPath,
} from '@slipway/core';
import { sql } from 'kysely';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { openBlobStorage } from '../src/blobs/index.ts';
import { sweepEntries } from '../src/dependency-caches/index.ts';
import { deploy, startTestServer, type TestRun, TestRunner, type TestServer } from './deployments-server.ts';
import { S3Server, s3Credentials } from './s3-server.ts';

const cached = { cacheOptions: { enable: true } };
const sha256 = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex');
/** Of three parts. */
const large = randomBytes(cachePartBytes * 2 + 1234);
const blob = randomBytes(2000);

describe.each(['a folder', 'an S3-compatible server'])('entries shared through %s', (kind) => {
  let s3: S3Server | undefined;
  let server: TestServer;
  let runner: TestRunner;
  beforeAll(async () => {
    if (kind !== 'a folder') {
      for (const [name, value] of Object.entries(s3Credentials)) vi.stubEnv(name, value);
      s3 = await S3Server.start();
    }
    server = await startTestServer(s3 ? { blobStorage: s3.place } : {});
    runner = await TestRunner.register(server);
  });
  afterAll(async () => {
    await server?.stop();
    await s3?.[Symbol.asyncDispose]();
    vi.unstubAllEnvs();
  });

  /** Blobs in the storage, complete or not. */
  const blobs = async () => (s3 ? s3.objects() : readdir(join(server.dataDirectory, 'blobs')));

  /** Another host joins the pool. */
  async function joinOtherHost(): Promise<void> {
    const registration = {
      ...{ hostname: 'other-host', pid: 4712, version: '0.1.0' },
      ...{ platform: 'linux/amd64', isolation: 'vm', slots: 1 },
    };
    const authorization = `token ${server.server.poolToken}`;
    const path = `${runnerContractPath}/register`;
    await server.expectCall(registerResponse, 200, 'POST', path, registration, { authorization });
  }

  async function claimed(stack: string, request: object = cached): Promise<TestRun> {
    await deploy(server, stack, request);
    return runner.mustClaim();
  }

  const namespaceOf = (run: TestRun) => run.claim.run.cache?.namespace ?? '';

  async function lookUp(run: TestRun, name: string) {
    const answer = await run.call('cache-lookup', { namespace: namespaceOf(run), name });
    return cacheLookupResponse.parse(answer.body).entry;
  }

  async function offer(run: TestRun, name: string, bytes = blob) {
    const wanted = { namespace: namespaceOf(run), name, blobBytes: bytes.length, sha256: sha256(bytes) };
    return cacheOfferResponse.parse((await run.call('cache-offer', wanted)).body);
  }

  async function sendPart(run: TestRun, entryId: string, part: number, bytes = blob, digest?: string) {
    const body = bytes.subarray(part * cachePartBytes, (part + 1) * cachePartBytes);
    const response = await fetch(
      `${server.server.url}${runnerContractPath}/cache-part?entry=${entryId}&part=${part}`,
      {
        method: 'POST',
        headers: {
          authorization: `lease ${run.claim.leaseToken}`,
          'content-type': 'application/octet-stream',
          [digestHeader]: digest ?? sha256(body),
        },
        body,
      },
    );
    return response.status;
  }

  async function share(run: TestRun, name: string, bytes = blob): Promise<string> {
    const answer = await offer(run, name, bytes);
    if (!answer.isWanted) throw new Error(`the entry is not wanted: ${answer.reason}`);
    for (const part of answer.missingParts)
      expect(await sendPart(run, answer.entryId, part, bytes)).toBe(204);
    expect((await run.call('cache-complete', { entryId: answer.entryId })).status).toBe(204);
    return answer.entryId;
  }

  async function read(run: TestRun, entryId: string, start = 0) {
    const response = await fetch(
      `${server.server.url}${runnerContractPath}/cache-blob?entry=${entryId}&start=${start}`,
      { headers: { authorization: `lease ${run.claim.leaseToken}` } },
    );
    return { status: response.status, bytes: Buffer.from(await response.arrayBuffer()) };
  }

  test('are wanted once somebody else could read them', async () => {
    const run = await claimed(await server.makeStack('alone', 'alone'));
    const answer = await offer(run, 'alone');
    // A bucket outlives this host and whoever reads it may come later.
    expect(answer.isWanted).toBe(s3 !== undefined);
    await joinOtherHost();
    expect((await offer(run, 'alone')).isWanted).toBe(true);
    await run.finish();
  });

  test('come back byte for byte, from any offset, also to a run of another stack', async () => {
    const writer = await claimed(await server.makeStack('writer', 'bytes'));
    expect(await lookUp(writer, 'npm')).toBeNull();
    const entryId = await share(writer, 'npm', large);
    await writer.finish();
    const reader = await claimed(await server.makeStack('reader', 'bytes'));
    expect(await lookUp(reader, 'npm')).toEqual({
      ...{ entryId, scope: 'main', blobBytes: large.length, sha256: sha256(large) },
    });
    expect((await read(reader, entryId)).bytes.equals(large)).toBe(true);
    const rest = await read(reader, entryId, cachePartBytes + 7);
    expect(rest.bytes.equals(large.subarray(cachePartBytes + 7))).toBe(true);
    expect((await read(reader, entryId, large.length)).status).toBe(400);
    await reader.finish();
  });

  test('an upload goes on where it was interrupted, and counts for nothing until it is complete', async () => {
    const run = await claimed(await server.makeStack('resumed', 'resumed'));
    const first = await offer(run, 'npm', large);
    if (!first.isWanted) throw new Error(first.reason);
    expect(first.missingParts).toEqual([0, 1, 2]);
    expect(await sendPart(run, first.entryId, 1, large)).toBe(204);
    expect((await run.call('cache-complete', { entryId: first.entryId })).status).toBe(400);
    expect(await lookUp(run, 'npm')).toBeNull();
    expect((await read(run, first.entryId)).status).toBe(404);
    // The run is over; its runner still sends what it has installed.
    await run.finish();
    const again = await offer(run, 'npm', large);
    expect(again).toEqual({ isWanted: true, entryId: first.entryId, missingParts: [0, 2] });
    for (const part of [2, 0, 0]) expect(await sendPart(run, first.entryId, part, large)).toBe(204);
    expect((await run.call('cache-complete', { entryId: first.entryId })).status).toBe(204);
    const { bytes } = await read(run, first.entryId);
    expect(bytes.equals(large)).toBe(true);
  });

  test('a part with other bytes than its digest says, or of another length, is refused', async () => {
    const run = await claimed(await server.makeStack('checked', 'checked'));
    const answer = await offer(run, 'npm', large);
    if (!answer.isWanted) throw new Error(answer.reason);
    expect(await sendPart(run, answer.entryId, 0, large, sha256(Buffer.from('other')))).toBe(400);
    expect(await sendPart(run, answer.entryId, 2, large.subarray(0, -1))).toBe(400);
    expect(await sendPart(run, answer.entryId, 3, Buffer.alloc(4 * cachePartBytes))).toBe(400);
    await run.finish();
  });

  test('the first complete one stays, and those that come later leave no blob behind', async () => {
    const stack = await server.makeStack('race', 'race');
    const run = await claimed(stack);
    const other = randomBytes(1000);
    const slow = await offer(run, 'npm', other);
    if (!slow.isWanted) throw new Error(slow.reason);
    await sendPart(run, slow.entryId, 0, other);
    const entryId = await share(run, 'npm');
    const before = (await blobs()).length;
    expect((await run.call('cache-complete', { entryId: slow.entryId })).status).toBe(204);
    expect(await lookUp(run, 'npm')).toMatchObject({ entryId });
    expect(await blobs()).toHaveLength(s3 ? before : before - 1);
    expect(await offer(run, 'npm', other)).toMatchObject({ isWanted: false });
    await run.finish();
  });

  test('what a preview wrote is read by its own scope alone, and it can write into no other', async () => {
    const stack = await server.makeStack('poison', 'poison');
    const preview = await claimed(stack, { ...cached, operation: 'preview' });
    const poison = await share(preview, 'npm', Buffer.from('poison'));
    await preview.finish();
    const main = await claimed(stack);
    expect(await lookUp(main, 'npm')).toBeNull();
    expect((await read(main, poison)).status).toBe(404);
    const begun = await offer(main, 'npm', Buffer.from('good'));
    if (!begun.isWanted) throw new Error(begun.reason);
    // It knows the id of the upload, and may not touch it.
    expect(await sendPart(preview, begun.entryId, 0, Buffer.from('evil'))).toBe(404);
    expect((await preview.call('cache-complete', { entryId: begun.entryId })).status).toBe(404);
    const good = await share(main, 'npm', Buffer.from('good'));
    await main.finish();
    const again = await claimed(stack, { ...cached, operation: 'preview' });
    expect(await lookUp(again, 'npm')).toMatchObject({ entryId: poison });
    const others = await claimed(await server.makeStack('other', 'poison'), {
      ...cached,
      operation: 'preview',
    });
    expect(await lookUp(others, 'npm')).toMatchObject({ entryId: good, scope: 'main' });
    for (const run of [again, others]) await run.finish();
  });

  test('another project, a namespace that is not the run’s, and a run without a cache get nothing', async () => {
    const run = await claimed(await server.makeStack('owner', 'owned'));
    const entryId = await share(run, 'npm');
    const stranger = await claimed(await server.makeStack('stranger', 'strange'));
    expect((await read(stranger, entryId)).status).toBe(404);
    const guess = { namespace: namespaceOf(run), name: 'npm' };
    expect((await stranger.call('cache-lookup', guess)).status).toBe(404);
    const without = await claimed(await server.makeStack('without', 'owned'), {});
    expect((await without.call('cache-lookup', guess)).status).toBe(404);
    for (const each of [run, stranger, without]) await each.finish();
  });

  test('clearing the cache removes the blobs of the project, and no late upload brings one back', async () => {
    const stack = await server.makeStack('cleared', 'clearance');
    const run = await claimed(stack);
    await share(run, 'npm');
    const late = await offer(run, 'late');
    if (!late.isWanted) throw new Error(late.reason);
    const before = (await blobs()).length;
    expect((await server.call('DELETE', `${stack}/deployments/cache`)).status).toBe(200);
    expect(await blobs()).toHaveLength(s3 ? before - 1 : before - 2);
    expect(await sendPart(run, late.entryId, 0)).toBe(404);
    await run.finish();
    const next = await claimed(stack);
    expect(await lookUp(next, 'npm')).toBeNull();
    await next.finish();
  });

  test('entries that nobody reads, and the oldest of too many, are dropped with their blobs', async () => {
    const stack = await server.makeStack('swept', 'sweeping');
    const run = await claimed(stack);
    const [unread, old, kept] = [
      await share(run, 'unread', Buffer.alloc(100, 1)),
      await share(run, 'old', Buffer.alloc(100, 2)),
      await share(run, 'kept', Buffer.alloc(100, 3)),
    ];
    const { db } = server.server.controlPlane;
    await sql`UPDATE cache_entries SET read_at = now() + interval '1 day' WHERE id = ANY(${[old, kept]}::uuid[])`.execute(
      db,
    );
    await sql`UPDATE cache_entries SET read_at = now() - interval '31 days' WHERE id = ${unread}`.execute(db);
    await lookUp(run, 'old');
    const storage = await openBlobStorage(s3?.place, server.dataDirectory);
    const sweep = (maximumBytes: number) =>
      sweepEntries(server.server.controlPlane, { storage, maximumBytes });
    await sweep(1e12);
    expect((await read(run, unread)).status).toBe(404);
    expect((await read(run, old)).status).toBe(200);
    await sweep(150);
    expect((await read(run, old)).status).toBe(404);
    expect((await read(run, kept)).status).toBe(200);
    expect(await blobs()).toHaveLength(1);
    await run.finish();
  });
});

test.each(['https://bucket', 's3://', 's3://key:secret@bucket', 's3://bucket?endpoint=nowhere'])(
  'a place for blobs that is none is refused: %s',
  async (place) => {
    await expect(async () => openBlobStorage(place, '/nowhere')).rejects.toThrow(/Write s3:\/\/BUCKET/);
  },
);
