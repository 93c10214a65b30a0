import { execFile } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { type IsolationKind, maximumLineCharacters } from '@slipway/core';
import { expect } from 'vitest';
import * as z from 'zod';
import { Api, Deployment, until } from './api.ts';
import { expectSuccess, writeProject } from './pulumi-user.ts';
import { type SlipwayUnderTest, startSlipway } from './slipway.ts';

const execute = promisify(execFile);

export const apiKey = 'canary-api-key "6f1d&";';
export const signature = 'canary-signature-93b0';
export const gitToken = 'canary-git-token-c47e';
/** The token of a job is made when it is handed out; each begins like this. */
export const jobToken = 'slp-job-';
export const canaries = [apiKey, signature, gitToken, jobToken];
/** Secrets of the configuration, which are decrypted in the run: a text, and one inside of a document. */
export const password = 'canary-password <5be2>';
export const documentKey = 'canary-document-key-7d01';
/** No secret, and printed as the secrets are: what is looked for would be found. */
const plain = 'visible-value <5be2>';

export const stack = 'local/secretive/dev';
export const folder = 'secretive';

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
export const masked = {
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

/** A line that is printed across a cut: its two pieces together. */
function acrossCut(what: string, text: string) {
  const firstPiece = `${what} cut: `.padEnd(maximumLineCharacters - cutBehind, '.');
  return { what, line: `${firstPiece}${text} <\n` };
}
export const acrossCuts = [
  acrossCut('command password', '***'),
  acrossCut('command document', '***'),
  acrossCut('command plain', plain),
];

/** A Slipway with the stack, whose next deployment prints its secrets. */
export async function startSecretive(isolation: IsolationKind): Promise<SlipwayUnderTest> {
  const slipway = await startSlipway({ isolation });
  await writeProject(join(slipway.workingCopy, folder), folder, program);
  await writeFile(join(slipway.workingCopy, folder, 'reveal.js'), revealer);
  const pulumi = async (...args: string[]) => expectSuccess(await slipway.pulumi(args, { folder }));
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
export async function answerCuts(slipway: SlipwayUnderTest): Promise<void> {
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
