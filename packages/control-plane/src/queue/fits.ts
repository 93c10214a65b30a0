import type { Capacity, ClaimRequest } from '@slipway/core';
import { type RawBuilder, sql } from 'kysely';

/** So long a run may be overtaken by smaller ones that find room where it does not. */
const patienceSeconds = 120;

/**
 * `completeSize`, `spaceOf` and `lackOf` of core, for the database: whether a run (a table named `run`) fits into a
 * capacity.
 */
function fits(
  run: string,
  room: Capacity,
  { defaultSize, cacheDiskGiB }: ClaimRequest['capacity'],
): RawBuilder<boolean> {
  const column = (name: string) => sql.ref(`${run}.${name}`);
  const size = (name: string, part: keyof Capacity) => sql`coalesce(${column(name)}, least(
    ${defaultSize[part]}::integer, (${column('granted_sandbox')}::json #>> ${`{largestSize,${part}}`})::integer))`;
  const volume = size('volume_gib', 'volumeGiB');
  const beside = sql`CASE WHEN ${column('caches')} THEN least(${volume}, ${cacheDiskGiB}::float8) ELSE 0 END`;
  return sql<boolean>`(
    ${size('cpus', 'cpus')} <= ${room.cpus}::float8
    AND ${size('memory_mib', 'memoryMiB')} <= ${room.memoryMiB}::float8
    AND ${volume} + ${beside} <= ${room.volumeGiB}::float8)`;
}

/**
 * Whether the host of a claim has room for the run `queued`, and none is passed over that has waited for this very host
 * to become empty enough: otherwise a large run would never find it so.
 */
export function hasRoomFor(capacity: ClaimRequest['capacity']): RawBuilder<boolean> {
  return sql<boolean>`(
    ${fits('queued', capacity.now, capacity)}
    AND NOT EXISTS (
      SELECT FROM runs patient
      WHERE patient.state = 'queued' AND patient.pool_id = queued.pool_id AND patient.platform = queued.platform
        AND patient.created_at < queued.created_at
        AND patient.created_at < now() - make_interval(secs => ${patienceSeconds})
        AND ${fits('patient', capacity.empty, capacity)} AND NOT ${fits('patient', capacity.now, capacity)}
        AND NOT EXISTS (
          SELECT FROM runs before_it
          WHERE before_it.lane_id = patient.lane_id AND before_it.number < patient.number
            AND before_it.state <> 'finished')))`;
}
