import { sql } from 'kysely';
import { expect, test } from 'vitest';
import { bareRequest, gitUrl, jobOfNext } from './deployment-jobs.ts';
import { deploy } from './deployments-server.ts';
import { runner, server, useServerAndRunner } from './use-server.ts';

useServerAndRunner();

test.each([
  ['token', { accessToken: { secret: 'the-token' } }, { kind: 'token', token: 'the-token' }],
  [
    'basic',
    { basicAuth: { userName: 'git', password: { secret: 'the-password' } } },
    { kind: 'basic', userName: 'git', password: 'the-password' },
  ],
  [
    'ssh',
    { sshAuth: { sshPrivateKey: { secret: 'the-key' }, password: { secret: 'the-phrase' } } },
    { kind: 'ssh', privateKey: 'the-key', passphrase: 'the-phrase' },
  ],
])('git credentials reach the job, and only the job: %s', async (name, gitAuth, credentials) => {
  const stack = await server.makeStack(`auth-${name}`);
  const settings = await server.call('PUT', `${stack}/deployments/settings`, {
    sourceContext: { git: { repoUrl: gitUrl, gitAuth } },
  });
  expect(JSON.stringify(settings.body)).not.toMatch(/the-/);
  await deploy(server, stack, { ...bareRequest, sourceContext: undefined });
  const { job, outline } = await jobOfNext(runner);
  expect(job.source.credentials).toEqual(credentials);
  expect(JSON.stringify(outline)).not.toMatch(/the-(token|password|key|phrase)/);
});

test('no secret is in the database in clear, the job token included', async () => {
  const stack = await server.makeStack('sealed');
  const canary = 'canary-8c1f0b7e';
  const gitAuth = { accessToken: { secret: `${canary}-git` } };
  await server.call('PUT', `${stack}/deployments/settings`, {
    sourceContext: { git: { repoUrl: gitUrl, gitAuth } },
    operationContext: {
      environmentVariables: { PASSWORD: { secret: `${canary}-env` }, PLAIN: 'visible-canary' },
    },
  });
  await deploy(server, stack, { ...bareRequest, sourceContext: undefined });
  const run = await runner.mustClaim();
  const { jobToken } = await run.job();
  await run.log(0, `${canary}-env ${jobToken}`);
  const dump = await dumpDatabase();
  expect(dump, 'the search would find it').toContain('visible-canary');
  expect(dump).not.toContain(canary);
  expect(dump).not.toContain(jobToken);
  expect(dump).not.toContain(run.claim.leaseToken);
  expect(dump).not.toContain(server.server.poolToken);
  await run.finish();
});

/** Every row of every table as text; bytes as they are. */
async function dumpDatabase(): Promise<string> {
  const { db } = server.server.controlPlane;
  const { rows: tables } = await sql<{ name: string }>`
    SELECT tablename AS name FROM pg_tables WHERE schemaname = 'public'`.execute(db);
  const contents: string[] = [];
  for (const { name } of tables) {
    const { rows } = await sql<Record<string, unknown>>`SELECT * FROM ${sql.table(name)}`.execute(db);
    for (const value of rows.flatMap((row) => Object.values(row))) {
      contents.push(Buffer.isBuffer(value) ? value.toString('latin1') : (JSON.stringify(value) ?? ''));
    }
  }
  return contents.join('\n');
}

test('a ciphertext that was answered is accepted for its stack, and for no other', async () => {
  const one = await server.makeStack('cipher-one');
  const two = await server.makeStack('cipher-two');
  const encrypted = await server.call('POST', `${one}/deployments/settings/encrypt`, { secret: 'moved' });
  const settings = {
    sourceContext: { git: { repoUrl: gitUrl } },
    operationContext: { environmentVariables: { PASSWORD: encrypted.body } },
  };
  expect(await server.call('PUT', `${one}/deployments/settings`, settings)).toMatchObject({ status: 200 });
  expect(await server.call('PUT', `${two}/deployments/settings`, settings)).toMatchObject({
    status: 400,
    body: { code: 400, message: expect.stringContaining('Message authentication failed') },
  });
  await deploy(server, one, { ...bareRequest, sourceContext: undefined });
  expect((await jobOfNext(runner)).job.environment).toEqual({ PASSWORD: 'moved' });
});
