import { stat } from 'node:fs/promises';
import { cacheLimits } from '@slipway/core';
import { packFolders } from '../cache/archive.ts';
import { type CacheConnection, patience } from '../cache/cache-connection.ts';
import { CacheNotUsed } from '../cache/cache-not-used.ts';
import type { WantedEntry } from '../cache/identify.ts';
import type { RunCache } from '../cache/run-cache.ts';
import type { Step, StepContext } from '../step.ts';

const bytesPerMegabyte = 1_000_000;

/** Keeps what the run has installed for later runs. Whatever goes wrong, the run goes on. */
export function saveCache(cache: RunCache): Step {
  return {
    name: 'Save cache',
    async run(context) {
      const { log, cancellation } = context;
      const { entry } = cache;
      if (entry === undefined) return log.write('Skipping caching step: there is no key to save under');
      if (cache.wasRestored) return log.write(`Key ${entry.key} already cached, skipping...`);
      if (!cache.mayBeSaved) return log.write('Skipping caching step: nothing of this run is to be kept');
      const patient = patience(cacheLimits.saveSeconds, 'saving it', cancellation.interrupted);
      try {
        await save(context, entry, patient);
      } catch (error) {
        cancellation.interrupted.throwIfAborted();
        await log.write(`Cache not saved: ${error instanceof Error ? error.message : String(error)}.`);
      }
    },
  };
}

async function save({ cache, log }: StepContext, { key, paths }: WantedEntry, patient: AbortSignal) {
  const captured: string[] = [];
  for (const path of paths) {
    const found = await stat(path).catch(() => undefined);
    if (found?.isDirectory()) captured.push(path);
    else await log.write(`Directory ${path} not found, skipping...`);
  }
  if (captured.length === 0) throw new CacheNotUsed('none of the folders that are kept is there');
  await log.write(`Got cache entry key ${key}..., capturing paths: [${captured.join(' ')}]`);
  const saved =
    cache.transfer === 'device'
      ? await cache.connection.ask({ type: 'cache-save' }, 'cache-saved', patient)
      : await sendArchive(cache.connection, captured, patient);
  if (saved.entryBytes === null) return log.write(`Cache not saved: ${saved.reason}.`);
  const megabytes = (saved.entryBytes / bytesPerMegabyte).toFixed(1);
  await log.write(`Compressed file ${key} size ${megabytes} MB`);
  await log.write(`Uploaded ${key} successfully`);
}

async function sendArchive(connection: CacheConnection, paths: readonly string[], patient: AbortSignal) {
  const answer = connection.expect('cache-saved', patient);
  answer.catch(() => {});
  let isRefused = false;
  answer.then(
    () => {
      isRefused = true;
    },
    () => {},
  );
  for await (const piece of packFolders(paths, patient)) {
    // The runner takes no more, and has said why.
    if (isRefused) return answer;
    await connection.send({ type: 'cache-write', bytes: piece.toString('base64'), isLast: false });
  }
  await connection.send({ type: 'cache-write', bytes: '', isLast: true });
  return answer;
}
