import { sql } from 'kysely';
import { expect, test } from 'vitest';
import * as z from 'zod';
import { endExpiredUpdates } from '../src/stacks/index.ts';
import { deploy, TestRunner } from './deployments-server.ts';
import { resultsOf, TestUpdate } from './test-update.ts';
import { server, useServer } from './use-server.ts';

useServer();

const database = () => server.server.controlPlane.db;

/** From now on the database refuses to finish this row, as if something in it were wrong. */
async function breakRow(table: 'runs' | 'updates', id: string): Promise<void> {
  const name = sql.id(`refuse_${table}`);
  await sql`
    CREATE FUNCTION ${name}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'broken row'; END $$`.execute(
    database(),
  );
  await sql`
    CREATE TRIGGER ${name} BEFORE UPDATE ON ${sql.table(table)} FOR EACH ROW
    WHEN (NEW.state = 'finished' AND NEW.id = ${sql.lit(id)}::uuid) EXECUTE FUNCTION ${name}()`.execute(
    database(),
  );
}

test('one run that cannot be recovered does not keep the others from it', async () => {
  const runner = await TestRunner.register(server);
  const status = z.object({ status: z.string() });
  const lost: { id: string; status: () => Promise<string> }[] = [];
  for (const name of ['broken', 'sound']) {
    const stack = await server.makeStack(name);
    const { id } = await deploy(server, stack);
    await (await runner.mustClaim()).job();
    const path = `${stack}/deployments/${id}`;
    lost.push({ id, status: async () => (await server.expectCall(status, 200, 'GET', path)).status });
  }
  const [broken, sound] = lost;
  if (!broken || !sound) throw new Error('two runs were made');
  await breakRow('runs', broken.id);
  // The broken one was lost first.
  await sql`
    UPDATE runs SET lease_ends_at = now() - interval '1 hour' - (id = ${broken.id})::int * interval '1 hour'`.execute(
    database(),
  );
  // The server looks for lost runs every second by itself.
  await expect.poll(sound.status, { timeout: 10_000 }).toBe('failed');
  expect(await broken.status()).toBe('running');
});

test('one update that cannot be ended does not keep the others from it', async () => {
  const [broken, sound] = [await server.makeStack('broken-update'), await server.makeStack('sound-update')];
  for (const stack of [broken, sound]) await (await TestUpdate.start(server, stack)).loseLease();
  const { rows } = await sql<{ id: string }>`
    SELECT u.id FROM updates u JOIN stacks s ON s.id = u.stack_id WHERE s.name = 'broken-update'`.execute(
    database(),
  );
  await breakRow('updates', rows[0]?.id ?? '');
  // The broken one has been silent for longer.
  await sql`
    UPDATE updates SET lease_ends_at = now() - interval '1 hour' WHERE id = ${rows[0]?.id}`.execute(
    database(),
  );
  const ending = endExpiredUpdates(database(), new Date());
  await expect(ending).rejects.toThrow(AggregateError);
  expect(await resultsOf(server, sound)).toEqual(['failed']);
  expect(await resultsOf(server, broken)).toEqual(['in-progress']);
});
