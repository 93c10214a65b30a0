import { sql } from 'kysely';
import * as z from 'zod';
import type { TestServer } from './deployments-server.ts';

const created = z.object({ updateID: z.string() });
const started = z.object({ version: z.number(), token: z.string().min(1), tokenExpiration: z.number() });
const eventPage = z.object({
  events: z.array(z.looseObject({ sequence: z.number() })),
  continuationToken: z.string().nullable(),
});

/** An update as its CLI drives it. */
export class TestUpdate {
  readonly path: string;
  readonly version: number;
  readonly #server: TestServer;
  readonly authorization: string;

  private constructor(server: TestServer, path: string, version: number, token: string) {
    this.#server = server;
    this.path = path;
    this.version = version;
    this.authorization = `update-token ${token}`;
  }

  /** Makes an update that is not started, and answers its path. */
  static async create(
    server: TestServer,
    stack: string,
    kind = 'update',
    token = server.server.adminToken,
  ): Promise<string> {
    const options = { authorization: `token ${token}` };
    const { updateID } = await server.expectCall(created, 200, 'POST', `${stack}/${kind}`, {}, options);
    return `${stack}/update/${updateID}`;
  }

  static async start(
    server: TestServer,
    stack: string,
    kind = 'update',
    token = server.server.adminToken,
  ): Promise<TestUpdate> {
    const path = await TestUpdate.create(server, stack, kind, token);
    const options = { authorization: `token ${token}` };
    const answer = await server.expectCall(started, 200, 'POST', path, {}, options);
    return new TestUpdate(server, path, answer.version, answer.token);
  }

  async call(method: string, name: string, body: object | string): Promise<number> {
    const { authorization } = this;
    return (await this.#server.call(method, `${this.path}/${name}`, body, { authorization })).status;
  }

  checkpoint(mark: string): Promise<number> {
    return this.call('PATCH', 'checkpoint', { version: 3, deployment: { resources: [], mark } });
  }

  complete(status = 'succeeded'): Promise<number> {
    return this.call('POST', 'complete', { status });
  }

  events(...sequences: readonly number[]): Promise<number> {
    const events = sequences.map((sequence) => ({ sequence, timestamp: 1, stdoutEvent: { message: 'x' } }));
    return this.call('POST', 'events/batch', { events });
  }

  async page(continuationToken = '0') {
    const path = `${this.path}/events?continuationToken=${continuationToken}`;
    const page = await this.#server.expectCall(eventPage, 200, 'GET', path);
    return { ...page, sequences: page.events.map(({ sequence }) => sequence) };
  }

  /** As if its CLI had been silent for too long. */
  async loseLease(): Promise<void> {
    const id = this.path.split('/').at(-1);
    await sql`UPDATE updates SET lease_ends_at = now() - interval '1 second' WHERE id = ${id}`.execute(
      this.#server.server.controlPlane.db,
    );
  }
}

const history = z.object({ updates: z.array(z.object({ kind: z.string(), result: z.string() })) });

/** How the updates of a stack ended, the newest first. */
export async function resultsOf(server: TestServer, stack: string): Promise<string[]> {
  const { updates } = await server.expectCall(history, 200, 'GET', `${stack}/updates`);
  return updates.map(({ result }) => result);
}
