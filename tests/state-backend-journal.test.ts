import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Server, startServer } from '@slipway/control-plane';
import { afterAll, beforeAll, expect, test } from 'vitest';
import * as z from 'zod';
import { type PulumiUser, pulumiUser, writeProject } from './testing/pulumi-user.ts';

let directory: string;
let server: Server;
let journaling: PulumiUser;
let plain: PulumiUser;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'slipway-journal-'));
  server = await startServer({
    dataDirectory: join(directory, 'data'),
    host: '127.0.0.1',
    port: 0,
    organization: 'local',
    journalFromResourceCount: 0,
  });
  const backend = { url: server.url, token: server.adminToken };
  journaling = await pulumiUser(join(directory, 'journaling'), backend);
  plain = await pulumiUser(join(directory, 'plain'), backend, { PULUMI_DISABLE_JOURNALING: 'true' });
  for (const user of [journaling, plain]) await user.expectRun(directory, 'login', server.url);
});

afterAll(async () => {
  await server?.close();
  await rm(directory, { recursive: true, force: true });
});

/** One version of a program after the other: create, update, replace, move under a parent, fail, remove. */
const programs = [
  `new Cell('a', 1); const b = new Cell('b', 2); new Cell('c', 3, { dependsOn: b, parent: b }); exports.x = pulumi.secret('s');`,
  `new Cell('a', 'changed', { protect: true }); const b = new Cell('b', 2); new Cell('c', 3, { dependsOn: b }); exports.x = 1;`,
  `const a = new Cell('a', 'changed'); new Cell('renamed', 3, { aliases: [{ name: 'c' }], parent: a }); new Cell('d', config.requireSecret('password'), { deleteBeforeReplace: true });`,
  `const a = new Cell('a', 'changed'); new Cell('renamed', 3, { parent: a }); new Failing('failing', 1, { dependsOn: a }); new Cell('e', 5);`,
  `new Cell('e', 6);`,
];
const failing = `class Failing extends pulumi.dynamic.Resource {
  constructor(name, value, options) {
    super({ async create() { throw new Error('no'); } }, name, { value }, options);
  }
}`;

const exportedState = z.object({
  version: z.number(),
  features: z.array(z.string()).optional(),
  deployment: z.looseObject({
    manifest: z.object({ magic: z.string(), version: z.string() }),
    resources: z.array(z.looseObject({ urn: z.string() })).default([]),
  }),
});

const uuid = /[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/g;

/** A state without what differs from run to run: times, ciphertexts and the ids of providers. */
async function stateOf(user: PulumiUser, folder: string): Promise<unknown> {
  const text = await user.expectRun(folder, 'stack', 'export');
  const { deployment, ...others } = exportedState.parse(JSON.parse(text));
  const { manifest, metadata: _metadata, resources, ...rest } = deployment;
  const sameEachTime = resources.map(({ created: _created, modified: _modified, ...resource }) =>
    JSON.parse(
      JSON.stringify(resource)
        .replaceAll(/"ciphertext":"[^"]*"/g, '"ciphertext":""')
        .replaceAll(uuid, 'uuid'),
    ),
  );
  return {
    ...others,
    ...{ magic: manifest.magic, version: manifest.version },
    resources: sameEachTime.sort((a, b) => a.urn.localeCompare(b.urn)),
    rest,
  };
}

/** Whether the updates of the stack that there is kept a journal. */
async function hasJournaled(): Promise<boolean> {
  const bytes = await server.controlPlane.db
    .selectFrom('updates')
    .select('journal_bytes')
    .where('is_preview', '=', false)
    .execute();
  return bytes.some(({ journal_bytes }) => journal_bytes > 0);
}

test('an update leaves the same state by its journal as by whole checkpoints', async () => {
  const users = [
    { user: journaling, folder: join(directory, 'by-journal') },
    { user: plain, folder: join(directory, 'by-checkpoint') },
  ];
  // Folders of the same project and stacks of the same name, so that all URNs are the same; one stack after the other.
  const states: unknown[][] = [];
  for (const { user, folder } of users) {
    await writeProject(folder, 'same', '');
    await user.expectRun(folder, 'stack', 'init', 'local/dev');
    await user.expectRun(folder, 'config', 'set', '--secret', 'password', 'canary');
    const reached: unknown[] = [];
    for (const program of programs) {
      await writeProject(folder, 'same', `${failing}\n${program}`);
      const { code } = await user.run(folder, 'up', '--yes', '--skip-preview', '--continue-on-error');
      reached.push({ code, state: await stateOf(user, folder) });
      await user.run(folder, 'refresh', '--yes', '--skip-preview');
      reached.push(await stateOf(user, folder));
    }
    await user.run(folder, 'destroy', '--yes', '--skip-preview');
    reached.push(await stateOf(user, folder));
    states.push(reached);
    expect(await hasJournaled()).toBe(user === journaling);
    await user.expectRun(folder, 'stack', 'rm', '--yes', '--force');
  }
  expect(states[0]).toEqual(states[1]);
  expect(states[0]?.length).toBe(11);
}, 300_000);

/** A stack of fewer than 200 counts as small. */
const many = 250;

test.each([
  ['a journal', () => journaling],
  ['whole states', () => plain],
])(
  `an update of ${many} resources works with %s`,
  async (how, user) => {
    const folder = join(directory, `many-with-${how.replaceAll(' ', '-')}`);
    await writeProject(folder, 'many', `for (let n = 0; n < ${many}; n += 1) new Cell('cell-' + n, n);`);
    await user().expectRun(folder, 'stack', 'init', 'local/many');
    const up = () => user().expectRun(folder, 'up', '--yes', '--skip-preview');
    expect(await up()).toContain(`${many + 1} created`);
    expect(await up()).toContain(`${many + 1} unchanged`);
    await user().expectRun(folder, 'stack', 'rm', '--yes', '--force');
  },
  240_000,
);
