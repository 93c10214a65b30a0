import type { SecretPatterns } from '@slipway/core';
import { sql } from 'kysely';
import * as z from 'zod';
import type { Database } from '../database/database.ts';
import { KnownSecrets } from './known-secrets.ts';
import { RecentRuns } from './recent-runs.ts';
import { Seal } from './seal.ts';

const texts = z.array(z.string());

/**
 * The secrets of runs, which are hidden in all that is received about them: those of the job, and those that the `pulumi`
 * CLI has decrypted or encrypted in the run since. They are in the database, sealed, and end with the run; what a process
 * knows of them it keeps in memory for a while.
 */
export class RunSecrets {
  readonly #masterKey: Buffer;
  readonly #recent = new RecentRuns();

  constructor(masterKey: Buffer) {
    this.#masterKey = masterKey;
  }

  /** All secrets of a run by now, to be looked for; undefined when nothing more of it is taken, or there is none such. */
  async patterns(db: Database, runId: string): Promise<SecretPatterns | undefined> {
    return (await this.#read(db, runId))?.patterns;
  }

  /** Adds secrets that the run is given, in the transaction that locks the run and gives them. However many they are. */
  async give(tx: Database, runId: string, given: Iterable<string>): Promise<void> {
    const known = await this.#read(tx, runId);
    const unknown = known?.unknownOf(given) ?? [];
    if (known && unknown.length > 0) await this.#write(tx, runId, known, unknown, false);
  }

  /**
   * Adds secrets that were found in what the run decrypts and encrypts: once this has settled they are hidden in all that
   * is received later. Of more than `maximumSecrets` the further ones are not.
   */
  async learn(db: Database, runId: string, found: ReadonlySet<string>): Promise<void> {
    const recent = this.#recent.find(runId);
    if (recent?.unknownOf(found).length === 0) return;
    await db.transaction().execute(async (tx) => {
      await sql`SELECT FROM runs WHERE id = ${runId} FOR UPDATE`.execute(tx);
      const known = await this.#read(tx, runId);
      const unknown = known?.unknownOf(found) ?? [];
      const fitting = known?.fitting(unknown) ?? [];
      const areCut = fitting.length < unknown.length;
      if (known && (fitting.length > 0 || (areCut && !known.areCut)))
        await this.#write(tx, runId, known, fitting, areCut);
    });
  }

  /** What the process knows, brought up to date. Run and rows are read at once: no row is missed because the run ended. */
  async #read(db: Database, runId: string): Promise<KnownSecrets | undefined> {
    const known = this.#recent.find(runId) ?? new KnownSecrets();
    const { rows } = await sql<{ number: number | null; sealed: Buffer; isCut: boolean }>`
      SELECT s.number, s.sealed, s.is_cut AS "isCut" FROM runs r
      LEFT JOIN run_secrets s ON s.run_id = r.id AND s.number > ${known.lastNumber}
      WHERE r.id = ${runId} AND (r.state <> 'finished' OR r.delivery_token_hash IS NOT NULL)
      ORDER BY s.number`.execute(db);
    if (rows.length === 0) {
      this.#recent.forget(runId);
      return undefined;
    }
    const seal = this.sealOf(runId);
    for (const { number, sealed, isCut } of rows) {
      if (number === null) continue;
      known.add(number, texts.parse(JSON.parse(seal.open(sealed).toString('utf8'))));
      known.areCut ||= isCut;
    }
    this.#recent.remember(runId, known);
    return known;
  }

  /** The process learns of them when it reads them: the transaction may yet fail. */
  async #write(
    tx: Database,
    runId: string,
    { lastNumber }: KnownSecrets,
    added: readonly string[],
    isCut: boolean,
  ): Promise<void> {
    const sealed = this.sealOf(runId).seal(Buffer.from(JSON.stringify(added), 'utf8'));
    await tx
      .insertInto('run_secrets')
      .values({ run_id: runId, number: lastNumber + 1, sealed, is_cut: isCut })
      .execute();
  }

  /** Seals what may show a secret of the run. */
  sealOf(runId: string): Seal {
    return new Seal(this.#masterKey, runId, 'run-secrets');
  }
}

/** Whether a run had more secrets than are kept. */
export async function someRunSecretsWereCut(db: Database, runId: string): Promise<boolean> {
  const cut = await db
    .selectFrom('run_secrets')
    .select('run_id')
    .where('run_id', '=', runId)
    .where('is_cut', '=', true)
    .executeTakeFirst();
  return cut !== undefined;
}

/** Removes the secrets of a run of which nothing more is taken. */
export async function forgetRunSecrets(tx: Database, runId: string): Promise<void> {
  await tx.deleteFrom('run_secrets').where('run_id', '=', runId).execute();
}
