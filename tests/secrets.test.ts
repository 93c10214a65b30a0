import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { open, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { type IsolationKind, maximumLineCharacters } from '@slipway/core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import * as z from 'zod';
import { Api, Deployment, until } from './testing/api.ts';
import { writeProject } from './testing/pulumi-user.ts';
import { SecretSearch } from './testing/secret-search.ts';
import { finishedDeployment, type SlipwayUnderTest, startSlipway } from './testing/slipway.ts';

const execute = promisify(execFile);

const apiKey = 'canary-api-key "6f1d&";';
const signature = 'canary-signature-93b0';
const gitToken = 'canary-git-token-c47e';
/** The token of a job is made when it is handed out; each begins like this. */
const jobToken = 'slp-job-';
const canaries = [apiKey, signature, gitToken, jobToken];
/** Secrets of the configuration, which are decrypted in the run: a text, and one inside of a document. */
const password = 'canary-password <5be2>';
const documentKey = 'canary-document-key-7d01';
/** No secret, and printed as the secrets are: what is looked for would be found. */
const plain = 'visible-value <5be2>';

const stack = 'local/secretive/dev';
const folder = 'secretive';

/** Prints the key whole, in JSON, in base64 (also inside of other text), and in two pieces that travel apart. */
const program = `const key = process.env.API_KEY;
const label = (what, text) => console.log('program ' + what + ': ' + text);
label('whole', key);
label('JSON', JSON.stringify({ key }));
label('base64', Buffer.from(key).toString('base64'));
label('base64 inside', Buffer.from('x' + key + 'yz').toString('base64'));
config.requireSecret('signature').apply(async (signature) => {
  label('signature', signature);
  process.stdout.write('program pieces: ' + key.slice(0, 9));
  await new Promise((resolve) => setTimeout(resolve, 500));
  process.stdout.write(key.slice(9) + ' <\\n');
  await require('./reveal.js').reveal('program plain', config.require('plain'));
  config.requireSecret('password').apply((password) => {
    label('password base64', Buffer.from(password).toString('base64'));
    label('password base64 inside', Buffer.from('xy' + password + 'z').toString('base64'));
    label('password JSON', JSON.stringify({ password }));
  });
});
exports.signature = config.requireSecret('signature');
new Cell('cell', config.requireSecret('signature'));`;

/** So many characters of a text stand before the cut of the line that it is in. */
const cutBehind = 9;
const firstPiece = (what: string) => `${what} cut: `.padEnd(maximumLineCharacters - cutBehind, '.');

/**
 * Prints a text that it reads in base64, also inside of other text, in JSON, and in pieces of a copy that is the wrong way
 * round, which travel apart; as a command of its own also across the cut of a long line, with words of the other stream
 * between its pieces: it waits for the branches by which the test says that the log has what was printed (`answerCuts`).
 */
const revealer = `exports.reveal = async (what, text) => {
  const label = (form, printed) => console.log(what + ' ' + form + ': ' + printed);
  label('whole', text);
  label('base64', Buffer.from(text).toString('base64'));
  label('base64 inside', Buffer.from('xy' + text + 'z').toString('base64'));
  label('JSON', JSON.stringify({ text }));
  process.stdout.write(what + ' pieces: ');
  for (const reversed = [...text].reverse(); reversed.length > 0; ) {
    process.stdout.write(reversed.splice(-9).reverse().join(''));
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
  console.log(' <');
};
async function untilBranch(name) {
  const look = ['ls-remote', '--exit-code', 'origin', name];
  while (require('node:child_process').spawnSync('git', look).status !== 0) {
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
}
async function revealAcrossCut(what, text) {
  process.stdout.write((what + ' cut: ').padEnd(${maximumLineCharacters - cutBehind}, '.') + text.slice(0, ${cutBehind + 6}));
  await untilBranch(what.replace(' ', '-') + '-cut');
  console.error(what + ' between');
  await untilBranch(what.replace(' ', '-') + '-between');
  console.log(text.slice(${cutBehind + 6}) + ' <');
}
if (require.main === module) {
  const [, , what] = process.argv;
  const text = require('node:fs').readFileSync(0, 'utf8').trim();
  exports.reveal(what, text).then(() => revealAcrossCut(what, text));
}`;

const inBase64 = (text: string) => Buffer.from(text).toString('base64');

/** What `reveal.js` prints of `plain`. */
const revealedPlain = (what: string) => [
  `${what} whole: ${plain}`,
  `${what} base64: ${inBase64(plain)}`,
  `${what} base64 inside: ${inBase64(`xy${plain}z`)}`,
  `${what} JSON: {"text":"${plain}"}`,
  `${what} pieces: ${plain} <`,
];
const revealedMasked = (what: string) => [
  `${what} whole: ***`,
  `${what} base64: ***`,
  `${what} JSON: {"text":"***"}`,
  `${what} pieces: *** <`,
];

/** The CLI hides nothing of what it is asked for. In an emulated machine it is too slow to be asked. */
const configNames = ['password', 'document', 'plain'];
const configCommands = configNames.map(
  (name) =>
    `pulumi config get ${name} --stack ${stack} | sed 's/.*\\["\\(.*\\)"\\].*/\\1/' | node reveal.js "command ${name}"`,
);

const commands = [
  'echo "command whole: $API_KEY"; sleep 1',
  'printf "command pieces: "; printf %s "$API_KEY" | cut -c1-9 | tr -d "\\n"; sleep 1; echo "$API_KEY <" | cut -c10-',
  'echo "command base64: $(printf %s "$API_KEY" | base64)" >&2',
  'echo "command token: $PULUMI_ACCESS_TOKEN"',
];

/** What stands in the place of the secrets. */
const masked = {
  command: ['command whole: ***', 'command pieces: *** <', 'command base64: ***', 'command token: ***'],
  program: [
    'program whole: ***',
    'program JSON: {"key":"***"}',
    'program base64: ***',
    'program signature: [secret]',
    'program password base64: ***',
    'program password JSON: {"password":"[secret]"}',
    'program pieces: *** <',
    ...revealedPlain('program plain'),
  ],
  config: [
    ...revealedMasked('command password'),
    ...revealedMasked('command document'),
    ...revealedPlain('command plain'),
  ],
};

async function prepare(isolation: IsolationKind): Promise<SlipwayUnderTest> {
  const slipway = await startSlipway({ isolation });
  await writeProject(join(slipway.workingCopy, folder), folder, program);
  await writeFile(join(slipway.workingCopy, folder, 'reveal.js'), revealer);
  const pulumi = async (...args: string[]) =>
    expect(await slipway.pulumi(args, { folder })).toMatchObject({ code: 0 });
  await pulumi('login', slipway.url);
  await pulumi('stack', 'init', stack);
  await pulumi('config', 'set', '--secret', 'signature', signature, '--stack', stack);
  await pulumi('config', 'set', '--secret', 'password', password, '--stack', stack);
  await pulumi(
    'config',
    'set',
    '--secret',
    'document',
    JSON.stringify({ keys: [documentKey] }),
    '--stack',
    stack,
  );
  await pulumi('config', 'set', 'plain', plain, '--stack', stack);
  await slipway.publish();
  const settings = await slipway.api('PUT', `/api/stacks/${stack}/deployments/settings`, {
    sourceContext: {
      git: {
        repoUrl: slipway.repositoryUrl,
        branch: 'main',
        repoDir: folder,
        gitAuth: { accessToken: { secret: gitToken } },
      },
    },
    operationContext: {
      environmentVariables: { API_KEY: { secret: apiKey } },
      preRunCommands: [...commands, ...(isolation === 'container' ? configCommands : [])],
      options: { skipInstallDependencies: true },
    },
  });
  expect(settings).toMatchObject({ status: 200 });
  return slipway;
}

const newestDeployment = z.object({ deployments: z.tuple([z.object({ id: z.string() })]) });

/** Lets each `revealAcrossCut` of the deployment that comes next go on, once the log has what it printed. */
async function answerCuts(slipway: SlipwayUnderTest): Promise<void> {
  const { id } = await until('there is a deployment', 120_000, async () => {
    const { json } = await slipway.api('GET', `/api/stacks/${stack}/deployments`);
    return newestDeployment.safeParse(json).data?.deployments[0];
  });
  const deployment = new Deployment(new Api(slipway.url, slipway.adminToken), stack, id);
  for (const name of configNames) {
    for (const part of ['cut', 'between']) {
      await deployment.logged(new RegExp(`^command ${name} ${part}`));
      const repository = join(slipway.directory, 'repository.git');
      await execute('git', ['-C', repository, 'branch', `command-${name}-${part}`]);
    }
  }
}

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
    slipway = await prepare(isolation);
    search = new SecretSearch(canaries, [join(slipway.directory, 'data')]);
    const deploy = async () => {
      const run = ['deployment', 'run', 'update', '--stack', stack, '--suppress-stream-logs=false'];
      expect(await slipway.pulumi(run, { folder })).toMatchObject({ code: 0 });
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
      for (const [what, text] of [
        ['command password', '***'],
        ['command document', '***'],
        ['command plain', plain],
      ] as const)
        expect(aroundCut(what) === `${firstPiece(what)}${text} <\n`, what).toBe(true);
    }
    const events = textsIn(told.events).join('');
    for (const line of masked.program) expect(events).toContain(line);
  });
});
