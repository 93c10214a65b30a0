import { claimRequest, completeSize, lackOf, runSandbox, spaceOf } from '@slipway/core';
import { sql } from 'kysely';
import type * as z from 'zod';
import type { Database } from '../database/database.ts';
import { runnersOnline } from '../pools/index.ts';
import type { RunRecord } from './run.ts';

/** What is kept of a claim. */
const notedCapacity = claimRequest.pick({ capacity: true, isPaused: true });
type NotedCapacity = z.infer<typeof notedCapacity>;

/** Why a queued run is not being executed, and what would change that: one sentence. */
export async function reasonForWaiting(db: Database, run: RunRecord): Promise<string> {
  const [before] = await runsBefore(db, run);
  if (before) return `It waits for run ${before.number} of the same stack, which is ${before.state}.`;
  const { poolName, runners } = await runnersOnline(db, run.poolId);
  if (runners.length === 0) {
    return `No runner of the pool "${poolName}" is online: start one with \`slipway runner\`.`;
  }
  const sandbox = runSandbox.parse(JSON.parse(run.grantedSandbox));
  const noted = runners.flatMap(({ hostname, capacity }) =>
    capacity === null ? [] : [{ hostname, ...notedCapacity.parse(JSON.parse(capacity)) }],
  );
  const awake = noted.filter(({ isPaused }) => !isPaused);
  if (noted.length > 0 && awake.length === 0) {
    const hosts = noted.slice(0, shownHosts).map(({ hostname }) => hostname);
    return `Every runner of the pool "${poolName}" is paused: \`slipway runner resume\` on ${hosts.join(', ')}.`;
  }
  const capacities = awake.map(({ hostname, capacity }) => ({ hostname, ...capacity }));
  const lack = (room: 'now' | 'empty') =>
    capacities.map((host) => {
      const size = completeSize(sandbox, host.defaultSize);
      return {
        hostname: host.hostname,
        lack: lackOf(spaceOf(size, run.caches ? host.cacheDiskGiB : 0), host[room]),
      };
    });
  const tooLarge = lack('empty');
  if (tooLarge.length > 0 && tooLarge.every((host) => host.lack !== undefined)) {
    return `No runner of the pool "${poolName}" is large enough (${describe(tooLarge)}): ask for less, or add a larger runner.`;
  }
  const full = lack('now');
  if (full.length > 0 && full.every((host) => host.lack !== undefined)) {
    return `It waits until a runner of the pool "${poolName}" has room (${describe(full)}).`;
  }
  return `It waits for a runner of the pool "${poolName}" that is free.`;
}

const shownHosts = 3;

function describe(hosts: readonly { hostname: string; lack: string | undefined }[]): string {
  const shown = hosts.slice(0, shownHosts).map(({ hostname, lack }) => `${hostname}: ${lack}`);
  const more = hosts.length - shown.length;
  return [...shown, ...(more > 0 ? [`and ${more} more`] : [])].join('. ');
}

async function runsBefore(db: Database, run: RunRecord) {
  const { rows } = await sql<{ number: number; state: string }>`
    SELECT number, state FROM runs
    WHERE lane_id = ${run.laneId} AND number < ${run.number} AND state <> 'finished'
    ORDER BY number LIMIT 1`.execute(db);
  return rows;
}

/** Keeps what a claim tells of its host, for those who ask why a run is waiting. */
export async function noteCapacity(
  db: Database,
  runnerId: string,
  { capacity, isPaused }: NotedCapacity,
): Promise<void> {
  await db
    .updateTable('runners')
    .set({ capacity: JSON.stringify({ capacity, isPaused }) })
    .where('id', '=', runnerId)
    .execute();
}
