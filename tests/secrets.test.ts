import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { open, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import * as z from 'zod';
import { expectSuccess } from './testing/pulumi-user.ts';
import { SecretSearch } from './testing/secret-search.ts';
import {
  acrossCuts,
  answerCuts,
  apiKey,
  canaries,
  documentKey,
  folder,
  gitToken,
  jobToken,
  masked,
  password,
  signature,
  stack,
  startSecretive,
} from './testing/secretive-stack.ts';
import { finishedDeployment, type SlipwayUnderTest } from './testing/slipway.ts';

const logPage = z.object({ nextToken: z.string().optional() });
const runSteps = z.object({ steps: z.array(z.unknown()).min(3) });
const updateList = z.tuple([z.object({ updateID: z.string() })]);

/** What the API tells of a deployment, as the texts that stand in its answers. */
async function everythingTold(slipway: SlipwayUnderTest, id: string) {
  const get = async (path: string) => {
    const { status, json } = await slipway.api('GET', `/api/${path}`);
    expect(status, path).toBe(200);
    return json;
  };
  const deployment = `stacks/${stack}/deployments/${id}`;
  const log: unknown[] = [];
  for (let token = ''; ; ) {
    const page = await get(`${deployment}/logs?continuationToken=${token}`);
    log.push(page);
    const { nextToken } = logPage.parse(page);
    if (nextToken === undefined || nextToken === token) break;
    token = nextToken;
  }
  const run = await get(`slipway/runs/${id}`);
  const steps: unknown[] = [];
  for (const step of runSteps.parse(run).steps.keys()) {
    steps.push(await get(`${deployment}/logs?job=0&step=${step}&count=499`));
  }
  const updates = await get(`${deployment}/updates`);
  const [{ updateID }] = updateList.parse(updates);
  const told = {
    log,
    steps,
    events: await get(`stacks/${stack}/update/${updateID}/events`),
    run,
    deployment: await get(deployment),
    settings: await get(`stacks/${stack}/deployments/settings`),
    updates,
    list: await get(`stacks/${stack}/deployments`),
  };
  return told;
}

/** Every text in a JSON value, the names of members as well. */
function textsIn(value: unknown): string[] {
  if (typeof value === 'string') return [value];
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value).flatMap(([name, member]) => [name, ...textsIn(member)]);
}

/** Puts the canaries where they must not be: the search finds each, or its silence would mean nothing. */
async function expectSearchToFind(search: SecretSearch, folder: string): Promise<void> {
  expect(search.sightings).toEqual([]);
  const file = join(folder, 'control');
  await writeFile(file, `{"text":"${Buffer.from(`x${apiKey}yz`).toString('base64')}"}`);
  await using unnamed = await open(join(folder, 'unnamed'), 'wx+');
  await unnamed.write(`${JSON.stringify({ apiKey })}\n${jobToken}0123`);
  await rm(join(folder, 'unnamed'));
  const env = { PATH: process.env.PATH, ENCODED: Buffer.from(`12${gitToken}`).toString('base64') };
  const control = spawn('sh', ['-c', 'echo; read _', 'sh', `--signature=${signature}`], { env });
  await once(control.stdout, 'data');
  await search.look();
  control.stdin.end();
  const found = search.sightings.map(({ canary, place }) => [canary, place.replace(/ \(.*/, '')]);
  expect(found.sort()).toEqual(
    [
      [apiKey, file],
      [apiKey, `/proc/self/fd/${unnamed.fd}`],
      [gitToken, `/proc/${control.pid}/environ`],
      [jobToken, `/proc/self/fd/${unnamed.fd}`],
      [signature, `/proc/${control.pid}/cmdline`],
    ].sort(),
  );
}

describe.each(['container', 'vm'] as const)('a deployment in a %s', (isolation) => {
  let slipway: SlipwayUnderTest;
  let search: SecretSearch;
  let deploymentId: string;

  beforeAll(async () => {
    slipway = await startSecretive(isolation);
    search = new SecretSearch(canaries, [join(slipway.directory, 'data')]);
    const deploy = async () => {
      const run = ['deployment', 'run', 'update', '--stack', stack, '--suppress-stream-logs=false'];
      expectSuccess(await slipway.pulumi(run, { folder }));
      return finishedDeployment(slipway, stack);
    };
    const work = Promise.all([deploy(), isolation === 'container' && answerCuts(slipway)]);
    const [{ id }] = await search.during(work);
    deploymentId = id;
  }, 900_000);

  afterAll(() => slipway?.close());

  test('shows no secret to the host: no command line, environment or file holds one, from claim to finish', async () => {
    expect(search.looks).toBeGreaterThan(5);
    expect(search.sightings).toEqual([]);
    // The host sees the steps of a container, so the search came in time; it sees nothing inside a virtual machine.
    expect(search.ofSteps.some(({ canary }) => canary === apiKey)).toBe(isolation === 'container');
    await expectSearchToFind(search, join(slipway.directory, 'data'));
  });

  test('tells no secret: log, events and all other answers have masks in their place', async () => {
    const told = await everythingTold(slipway, deploymentId);
    const secrets = new SecretSearch([...canaries, password, documentKey], []);
    for (const [name, answer] of Object.entries(told)) {
      expect(secrets.find(Buffer.from(textsIn(answer).join('\n'))), name).toEqual([]);
    }
    const lines = [...masked.command, ...masked.program, ...(isolation === 'container' ? masked.config : [])];
    for (const answer of [told.log, told.steps]) {
      const log = textsIn(answer).join('');
      for (const line of lines) expect(log).toContain(line);
    }
    if (isolation === 'container') {
      const log = textsIn(told.log).filter((text) => text.endsWith('\n'));
      const aroundCut = (what: string) => {
        const at = log.indexOf(`${what} between\n`);
        // Where the second piece begins is open: what may be the beginning of any secret moves on to it.
        return `${log[at - 1]?.slice(0, -1)}${log[at + 1]}`;
      };
      for (const { what, line } of acrossCuts) expect(aroundCut(what) === line, what).toBe(true);
    }
    const events = textsIn(told.events).join('');
    for (const line of masked.program) expect(events).toContain(line);
  });
});
