import { sql } from 'kysely';
import * as z from 'zod';
import type { TestServer } from './deployments-server.ts';

const status = z.object({ status: z.string() });

/** What clients of Pulumi's REST API are told of a deployment. */
export const statusOf = async (server: TestServer, stack: string, id: string) =>
  (await server.expectCall(status, 200, 'GET', `${stack}/deployments/${id}`)).status;

const runFacts = z.object({
  state: z.enum(['queued', 'claimed', 'running', 'finished']),
  outcome: z.enum(['succeeded', 'failed', 'skipped']).nullable(),
  cause: z.string().nullable(),
  message: z.string().nullable(),
  claims: z.number(),
});
export const factsOf = (server: TestServer, id: string) =>
  server.expectCall(runFacts, 200, 'GET', `/api/slipway/runs/${id}`);

/** The facts of a run as soon as it is in this state: the server sweeps every second by itself. */
export async function factsOnceIt(server: TestServer, id: string, state: z.infer<typeof runFacts>['state']) {
  const deadline = performance.now() + 5000;
  for (;;) {
    const facts = await factsOf(server, id);
    if (facts.state === state) return facts;
    if (performance.now() > deadline) throw new Error(`not ${state}: ${JSON.stringify(facts)}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/** Lets the lease of a run have ended `seconds` ago, as if that time had passed. */
export const endLease = (server: TestServer, runId: string, seconds: number) =>
  sql`UPDATE runs SET lease_ends_at = now() - make_interval(secs => ${seconds}) WHERE id = ${runId}`.execute(
    server.server.controlPlane.db,
  );
