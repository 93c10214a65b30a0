import { setTimeout as sleep } from 'node:timers/promises';
import type { DatabaseServer } from './database-server.ts';
import { databaseFailure } from './failures.ts';

const patienceMilliseconds = 10_000;
const pauseMilliseconds = 50;

/**
 * Asks for what changes nothing, a connection or what is read, again and again while the database is away: that of a
 * server which was killed is seen before anybody knows that it has ended, and one that lost a process turns everybody
 * away for a moment and does not end. Throws what `ask` throws, also when that is still so after ten seconds.
 */
export async function askDatabase<T>(
  database: Pick<DatabaseServer, 'ready'>,
  ask: () => Promise<T>,
): Promise<T> {
  const askedAt = performance.now();
  for (;;) {
    await database.ready();
    try {
      return await ask();
    } catch (error) {
      const isAway = databaseFailure(error)?.status === 503;
      if (!isAway || performance.now() - askedAt > patienceMilliseconds) throw error;
    }
    await sleep(pauseMilliseconds);
  }
}
