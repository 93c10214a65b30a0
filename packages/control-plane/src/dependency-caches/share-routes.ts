import { createHash, randomUUID } from 'node:crypto';
import {
  cacheBlobQuery,
  cacheCompleteRequest,
  cacheLookupRequest,
  cacheOfferRequest,
  cachePartBytes,
  cachePartQuery,
  digestHeader,
  partCount,
  partLength,
  runnerContractPath,
} from '@slipway/core';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { ControlPlane } from '../control-plane.ts';
import { badRequest, notFound } from '../http/errors.ts';
import { route } from '../http/route.ts';
import { otherHostsOfPool } from '../pools/index.ts';
import { findRun, leaseToken, type Workflows, workflowOf } from '../queue/index.ts';
import {
  addPart,
  completeEntry,
  deleteEntry,
  type EntryRecord,
  entriesToWrite,
  findEntry,
  insertEntry,
  readEntry,
  storedParts,
} from './entries.ts';
import type { SharedCache } from './sweep.ts';

/** What a run has installed is sent when its stack is free again; for so long its lease token opens this. */
const afterRunMilliseconds = 60 * 60 * 1000;
/** Runners that finish at the same moment may send the same entry; more of them would be waste. */
const mostUploadsOfOneEntry = 3;

/** How runners share cache entries (core/cache-contract.ts). */
export function cacheShareRoutes(
  app: FastifyInstance,
  controlPlane: ControlPlane,
  workflows: Workflows,
  { storage, maximumBytes }: SharedCache,
): void {
  const { db } = controlPlane;
  const path = (name: string) => `${runnerContractPath}/${name}`;
  const access = leaseToken;

  const lookup = { method: 'POST', path: path('cache-lookup'), access, body: cacheLookupRequest } as const;
  route(app, controlPlane, lookup, async ({ principal: runId, body }) => {
    const { grant } = await grantOf(runId, body.namespace);
    return { entry: await readEntry(db, grant, body.name) };
  });

  const offer = { method: 'POST', path: path('cache-offer'), access, body: cacheOfferRequest } as const;
  route(app, controlPlane, offer, async ({ principal: runId, body }) => {
    const { grant, poolId, hostname } = await grantOf(runId, body.namespace);
    const present = await entriesToWrite(db, grant, body.name);
    const refuse = (reason: string) => ({ isWanted: false, reason });
    if (present.some(({ uploadId }) => uploadId === null)) return refuse('it is there already');
    if (body.blobBytes > maximumBytes) return refuse('there is no room for it');
    if (!storage.isRemote && !(await otherHostsOfPool(db, poolId, hostname))) {
      return refuse('the pool has runners on no other host');
    }
    const same = present.find((each) => each.sha256 === body.sha256 && each.blobBytes === body.blobBytes);
    if (same) return { isWanted: true, entryId: same.id, missingParts: await missingParts(same) };
    if (present.length >= mostUploadsOfOneEntry) return refuse('others are sending it');
    const upload = await storage.begin(randomUUID());
    await insertEntry(db, grant, body, upload);
    const every = Array.from({ length: partCount(body.blobBytes) }, (_, part) => part);
    return { isWanted: true, entryId: upload.blobId, missingParts: every };
  });

  route(
    app,
    controlPlane,
    {
      method: 'POST',
      path: path('cache-part'),
      access,
      query: cachePartQuery,
      maximumBodyBytes: cachePartBytes,
      readsBody: false,
      needsRoom: true,
    },
    async ({ principal: runId, query, request }) => {
      const { entry, uploadId } = await entryOnItsWay(runId, query.entry);
      const bytes = checkedPart(request, entry, query.part);
      await addPart(db, entry.id, await storage.putPart({ blobId: entry.id, uploadId }, query.part, bytes));
    },
  );

  const complete = {
    method: 'POST',
    path: path('cache-complete'),
    access,
    body: cacheCompleteRequest,
  } as const;
  route(app, controlPlane, complete, async ({ principal: runId, body }) => {
    const { entry, uploadId } = await entryOnItsWay(runId, body.entryId);
    const missing = await missingParts(entry);
    if (missing.length > 0) {
      throw badRequest(`Bad Request: ${missing.length} parts of the entry are missing.`);
    }
    await storage.complete({ blobId: entry.id, uploadId }, await storedParts(db, entry.id));
    if (await completeEntry(db, entry.id)) return;
    await storage.remove(entry.id);
    await deleteEntry(db, entry.id);
  });

  const blob = { method: 'GET', path: path('cache-blob'), access, query: cacheBlobQuery } as const;
  route(app, controlPlane, blob, async ({ principal: runId, query, reply }) => {
    const entry = await findEntry(db, query.entry);
    if (!entry || entry.uploadId !== null) throw noEntry();
    const { grant } = await grantOf(runId, entry.namespace);
    if (!grant.readScopes.includes(entry.scope)) throw noEntry();
    if (query.start >= entry.blobBytes) throw badRequest('Bad Request: the entry ends before "start".');
    reply.header('content-type', 'application/octet-stream');
    reply.header('content-length', entry.blobBytes - query.start);
    return storage.read(entry.id, query.start);
  });

  /** What a run may read and write of this namespace. Throws 404 when it is another's, or was cleared since then. */
  async function grantOf(runId: string, namespace: string) {
    const run = await findRun(db, runId);
    const isOver =
      run?.finishedAt && controlPlane.now().getTime() - run.finishedAt.getTime() > afterRunMilliseconds;
    const outline = run && !isOver ? await workflowOf(workflows, run).outline(db, run) : undefined;
    if (!run || outline?.cache?.namespace !== namespace) throw noEntry();
    return { grant: outline.cache, poolId: run.poolId, hostname: await hostnameOf(runId) };
  }

  async function hostnameOf(runId: string): Promise<string> {
    const row = await db
      .selectFrom('runs')
      .innerJoin('runners', 'runners.id', 'runs.runner_id')
      .select('runners.hostname')
      .where('runs.id', '=', runId)
      .executeTakeFirst();
    return row?.hostname ?? '';
  }

  /** An upload that this run may go on with, whoever began it: the digest says that it is the same blob. */
  async function entryOnItsWay(runId: string, entryId: string) {
    const entry = await findEntry(db, entryId);
    if (!entry || entry.uploadId === null) throw noEntry();
    const { grant } = await grantOf(runId, entry.namespace);
    if (grant.writeScope !== entry.scope) throw noEntry();
    return { entry, uploadId: entry.uploadId };
  }

  async function missingParts({ id, blobBytes }: EntryRecord): Promise<number[]> {
    const present = new Set((await storedParts(db, id)).map(({ part }) => part));
    return Array.from({ length: partCount(blobBytes) }, (_, part) => part).filter(
      (part) => !present.has(part),
    );
  }
}

/** 409 would say that the run is another's. */
const noEntry = () => notFound('Not Found: there is no such cache entry for this run.');

/** The bytes of a part, which are as long as they must be and what their sender meant. Throws 400. */
function checkedPart({ body, headers }: FastifyRequest, { blobBytes }: EntryRecord, part: number): Buffer {
  const length = partLength(blobBytes, part);
  if (!Buffer.isBuffer(body) || length === 0 || body.length !== length) {
    throw badRequest(`Bad Request: part ${part} must have ${length} bytes.`);
  }
  if (createHash('sha256').update(body).digest('hex') !== headers[digestHeader]) {
    throw badRequest(`Bad Request: part ${part} is not what its header ${digestHeader} says.`);
  }
  return body;
}
