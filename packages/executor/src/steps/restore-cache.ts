import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { cacheLimits } from '@slipway/core';
import { moveIntoPlace, unpackArchive } from '../cache/archive.ts';
import { type CacheConnection, patience } from '../cache/cache-connection.ts';
import { CacheNotUsed } from '../cache/cache-not-used.ts';
import { identifyEntry, type WantedEntry } from '../cache/identify.ts';
import type { RunCache } from '../cache/run-cache.ts';
import type { Step, StepContext } from '../step.ts';

/**
 * Gets the dependencies of the project out of the cache, before anything of the user's is run. Whatever goes wrong, the
 * run goes on, within ten seconds; the last line says whether the cache is used, and why not.
 */
export function restoreCache(cache: RunCache): Step {
  return {
    name: 'Restore cache',
    async run(context) {
      const { log, cancellation } = context;
      const patient = patience(cacheLimits.restoreSeconds, 'restoring it', cancellation.interrupted);
      try {
        const used = await restore(context, cache, patient);
        await log.write('Cache restored successfully');
        await log.write(`Cache used: ${used}.`);
      } catch (error) {
        cancellation.interrupted.throwIfAborted();
        const reason = error instanceof Error ? error.message : String(error);
        await log.write(
          cache.entry === undefined ? `Skipping caching step: ${reason}` : 'No cache to restore, skipping...',
        );
        await log.write(`Cache not used: ${reason}.`);
      }
    },
  };
}

/** Answers which entry is in place. Throws when there is none, with the end of a sentence that says why. */
async function restore(context: StepContext, cache: RunCache, patient: AbortSignal): Promise<string> {
  const { connection, transfer } = context.cache;
  if (transfer === undefined) throw new CacheNotUsed('this runner keeps no cache');
  const wanted = await identifyEntry(context);
  // Devices are mounted on folders that are there. An archive brings its own.
  const entry = transfer === 'device' ? { ...wanted, paths: await madeFolders(wanted.paths) } : wanted;
  cache.entry = entry;
  const answer = await askFor(entry, connection, patient);
  cache.mayBeSaved = answer.mayBeSaved;
  if (answer.entry === 'none') throw new CacheNotUsed(answer.reason);
  if (answer.entry === 'archive') await unpack(context, entry, patient);
  cache.wasRestored = true;
  return answer.reason;
}

/** Those that are there or can be made. In the others no tool could install anything either. */
async function madeFolders(paths: readonly string[]): Promise<string[]> {
  const made: string[] = [];
  for (const path of paths) {
    const isThere = await mkdir(path, { recursive: true }).then(
      () => true,
      () => false,
    );
    if (isThere) made.push(path);
  }
  if (made.length === 0) throw new CacheNotUsed(`none of its folders can be made (${paths.join(', ')})`);
  return made;
}

function askFor({ key, paths }: WantedEntry, connection: CacheConnection, patient: AbortSignal) {
  return connection.ask({ type: 'cache-restore', key, paths: [...paths] }, 'cache-restored', patient);
}

async function unpack(
  { cache: { connection }, layout, log, cancellation }: StepContext,
  { paths }: WantedEntry,
  patient: AbortSignal,
): Promise<void> {
  await log.write('Decompressing and extracting cache...');
  const staging = join(layout.executorDirectory, 'cache');
  try {
    await unpackArchive(piecesOf(connection, patient), paths, staging, patient);
    await moveIntoPlace(paths, staging);
  } catch (error) {
    cancellation.interrupted.throwIfAborted();
    if (patient.aborted) throw patient.reason;
    await connection.send({ type: 'cache-unusable' });
    throw new CacheNotUsed(
      `the entry is damaged (${error instanceof Error ? error.message : String(error)})`,
    );
  } finally {
    // Not waited for: there may be much of it.
    rm(staging, { recursive: true, force: true }).catch(() => {});
  }
}

async function* piecesOf(connection: CacheConnection, patient: AbortSignal): AsyncGenerator<Buffer> {
  for (let isLast = false; !isLast; ) {
    const piece = await connection.ask({ type: 'cache-read' }, 'cache-bytes', patient);
    yield Buffer.from(piece.bytes, 'base64');
    isLast = piece.isLast;
  }
}
