import { sql } from 'kysely';
import { expect, test } from 'vitest';
import * as z from 'zod';
import { deploy } from './deployments-server.ts';
import { runner, server, useServerAndRunner } from './use-server.ts';

useServerAndRunner();

const password = 'p@ss/canary%';
const url = `https://ada:p@ss%2Fcanary%@git.example.com/shop.git`;
const sourceOf = (repoUrl: string, gitAuth?: object) => ({
  sourceContext: { git: { repoUrl, branch: 'main', ...(gitAuth && { gitAuth }) } },
});
const ciphertext = z.object({ ciphertext: z.string() });
const settings = z.object({
  sourceContext: z.object({
    git: z.object({
      repoUrl: z.literal('https://git.example.com/shop.git'),
      gitAuth: z.strictObject({ basicAuth: z.object({ userName: ciphertext, password: ciphertext }) }),
    }),
  }),
});
const log = z.object({ lines: z.array(z.object({ line: z.string() })) });

test('a password in the URL of a repository is sealed when it comes, and given to the run that needs it', async () => {
  const stack = await server.makeStack('in-settings');
  const path = `${stack}/deployments/settings`;
  const token = { accessToken: { secret: 'the-token-before' } };
  await server.expectCall(z.unknown(), 200, 'PUT', path, sourceOf('https://git.example.com/old.git', token));
  await server.expectCall(settings, 200, 'POST', path, sourceOf(url));
  await server.expectCall(settings, 200, 'GET', path);
  const { id } = await server.expectCall(z.object({ id: z.string() }), 202, 'POST', `${stack}/deployments`, {
    operation: 'update',
  });
  const run = await runner.mustClaim();
  const job = await run.job();
  expect(job.source).toMatchObject({
    repoUrl: 'https://git.example.com/shop.git',
    credentials: { kind: 'basic', userName: 'ada', password },
  });
  await run.log(0, `fatal: Authentication failed (${password}, ${encodeURIComponent(password)})`);
  const { lines } = await server.expectCall(log, 200, 'GET', `${stack}/deployments/${id}/logs`);
  expect(lines[0]?.line).not.toContain('canary');
  await run.finish();
});

test('nothing that is kept or answered has it in clear', async () => {
  const stack = await server.makeStack('in-request');
  const { id } = await deploy(server, stack, sourceOf(url));
  const { rows } = await sql<{ settings: string }>`SELECT settings FROM deployments WHERE id = ${id}`.execute(
    server.server.controlPlane.db,
  );
  const answers = await Promise.all(
    ['', `/${id}`].map((path) => server.call('GET', `${stack}/deployments${path}`)),
  );
  expect(rows).toHaveLength(1);
  expect(JSON.stringify([rows, answers])).not.toContain('canary');
  expect(JSON.stringify(answers)).toContain('https://git.example.com/shop.git');
  await (await runner.mustClaim()).finish();
});

test.each([
  ['beside another login', sourceOf(url, { accessToken: { secret: 'token' } })],
  ['for ssh', sourceOf('ssh://git:canary@git.example.com/shop.git')],
  ['where no git would find it', sourceOf('https:/ada:canary@git.example.com/shop.git')],
  ['for a template', { sourceContext: { template: { sourceUrl: 'https://ada:canary@git.example.com/t' } } }],
])('a password %s is refused with a sentence that says where it belongs', async (what, body) => {
  const stack = await server.makeStack(what.replaceAll(' ', '-'));
  const answer = await server.call('PUT', `${stack}/deployments/settings`, body);
  expect(answer).toEqual({
    status: 400,
    body: { code: 400, message: expect.stringMatching(/holds a password.*gitAuth/) },
  });
  expect(JSON.stringify(answer)).not.toContain('canary');
});

test.each([
  'https://ada@git.example.com/shop.git',
  'git@git.example.com:shop.git',
  'ssh://git@git.example.com/shop',
])('a URL without a password stays as it is: %s', async (repoUrl) => {
  const stack = await server.makeStack(`plain-${crypto.randomUUID()}`);
  const answer = await server.call('PUT', `${stack}/deployments/settings`, sourceOf(repoUrl));
  expect(answer).toMatchObject({ status: 200, body: { sourceContext: { git: { repoUrl } } } });
  expect(JSON.stringify(answer)).not.toContain('gitAuth');
});
