import type { EgressRecord } from '@slipway/core';
import { expect, test } from 'vitest';
import { bareRequest, gitUrl, jobOfNext } from './deployment-jobs.ts';
import { deploy } from './deployments-server.ts';
import { runner, server, useServerAndRunner } from './use-server.ts';

useServerAndRunner();

test('`pulumi deployment run` without flags inherits every setting of the stack', async () => {
  const stack = await server.makeStack('inherits');
  await server.call('PUT', `${stack}/deployments/settings`, {
    executorContext: { executorImage: 'registry/image:1', executorRootPath: '/tmp' },
    sourceContext: { git: { repoUrl: gitUrl, branch: 'refs/heads/main', repoDir: 'infra' } },
    operationContext: {
      preRunCommands: ['date', 'id'],
      environmentVariables: { REGION: 'eu', PASSWORD: { secret: 'the-password' } },
      options: { skipInstallDependencies: true, shell: '/bin/bash' },
    },
  });
  await deploy(server, stack, { ...bareRequest, sourceContext: { git: { repoUrl: '', branch: '' } } });
  const { job, outline } = await jobOfNext(runner);
  expect(outline.imageReference).toBe('registry/image:1');
  expect(job).toMatchObject({
    source: { kind: 'git', repoUrl: gitUrl, branch: 'main', repoDir: 'infra' },
    preRunCommands: ['date', 'id'],
    environment: { REGION: 'eu', PASSWORD: 'the-password' },
    options: {
      ...{ skipInstallDependencies: true, shell: '/bin/bash' },
      ...{ deleteAfterDestroy: false, remediateIfDriftDetected: false },
    },
    executorRootPath: '/tmp',
  });
});

test('the settings of a queued deployment are frozen', async () => {
  const stack = await server.makeStack('frozen');
  await server.call('PUT', `${stack}/deployments/settings`, {
    sourceContext: { git: { repoUrl: gitUrl, branch: 'one' } },
  });
  await deploy(server, stack, { ...bareRequest, sourceContext: undefined });
  await server.call('PUT', `${stack}/deployments/settings`, {
    sourceContext: { git: { repoUrl: gitUrl, branch: 'two' } },
  });
  expect((await jobOfNext(runner)).job.source).toMatchObject({ branch: 'one' });
});

test('settings that are not inherited do not reach the job', async () => {
  const stack = await server.makeStack('alone');
  await server.call('PUT', `${stack}/deployments/settings`, {
    operationContext: { environmentVariables: { INHERITED: 'yes' } },
  });
  await deploy(server, stack, { inheritSettings: false });
  expect((await jobOfNext(runner)).job.environment).toEqual({});
});

test('a repository that only the version control settings name is used', async () => {
  const stack = await server.makeStack('github');
  await server.call('POST', `${stack}/deployments/settings`, { gitHub: { repository: 'acme/infra' } });
  await deploy(server, stack, { ...bareRequest, sourceContext: undefined });
  expect((await jobOfNext(runner)).job.source).toEqual({
    kind: 'git',
    repoUrl: 'https://github.com/acme/infra',
  });
});

test('two changes of the settings at once are both kept', async () => {
  const stack = await server.makeStack('two-changes');
  const change = (name: string) =>
    server.call('POST', `${stack}/deployments/settings`, {
      operationContext: { environmentVariables: { [name]: 'set' } },
    });
  await Promise.all(['A', 'B', 'C', 'D', 'E', 'F'].map(change));
  const { body } = await server.call('GET', `${stack}/deployments/settings`);
  expect(body).toMatchObject({
    version: 6,
    operationContext: {
      environmentVariables: { A: 'set', B: 'set', C: 'set', D: 'set', E: 'set', F: 'set' },
    },
  });
});

test('names with every character that the CLI allows work', async () => {
  const stack = await server.makeStack('a.b_c-D9', 'Shop_1.x-');
  await deploy(server, stack);
  expect((await jobOfNext(runner)).job.stack).toEqual({
    organization: 'acme',
    project: 'Shop_1.x-',
    stack: 'a.b_c-D9',
  });
});

test('a run tells why it ended, where it ran, and how long its phases took', async () => {
  const stack = await server.makeStack('facts');
  const { id } = await deploy(server, stack);
  const run = await runner.mustClaim();
  const sandbox = {
    ...{ isolation: 'vm', accelerated: false, imageReference: 'image', imageDigest: 'sha256:1' },
    ...{ toolboxDigest: 'sha256:2', kernelDigest: 'sha256:3', initramfsDigest: 'sha256:4' },
    ...{ kernelRelease: '6.18', bootId: 'b', size: { cpus: 2, memoryMiB: 4096, volumeGiB: 8 } },
  };
  const steps = [{ name: 'Setup', status: 'failed', startedAt: null, updatedAt: null }];
  await run.call('steps', { steps: [{ ...steps[0], name: 'Setup\u001b[2J' }], sandbox });
  await run.finish({
    ...{ outcome: 'failed', cause: 'image-unavailable', message: 'No image\0 "x\u001b]0;title\u0007".' },
    phaseMilliseconds: { image: 12.5 },
  });
  expect((await server.call('GET', `/api/slipway/runs/${id}`)).body).toMatchObject({
    ...{ id, stack: 'acme/shop/facts', number: 1, state: 'finished', outcome: 'failed' },
    ...{ cause: 'image-unavailable', message: 'No image\uFFFD "x␛]0;title␇".' },
    ...{
      sandbox,
      runner: { hostname: 'runner-host', version: '0.1.0' },
      steps: [{ ...steps[0], name: 'Setup␛[2J' }],
      phaseMilliseconds: { image: 12.5 },
      claims: 1,
    },
  });
  expect(await server.call('GET', `/api/slipway/runs/${crypto.randomUUID()}`)).toMatchObject({ status: 404 });
});

test('a run tells where it went and what it was refused, its secrets hidden in names', async () => {
  const stack = await server.makeStack('egress');
  const environmentVariables = { TOKEN: { secret: 'hunter2hunter2' } };
  const { id } = await deploy(server, stack, { operationContext: { environmentVariables } });
  const run = await runner.mustClaim();
  const runPath = `/api/slipway/runs/${id}`;
  expect((await server.call('GET', runPath)).body).toMatchObject({ egress: null });
  const contact = {
    ...{ hosts: ['hunter2hunter2.evil.example'], address: '203.0.113.7', port: 443, protocol: 'tcp' },
    ...{ count: 2, lastAt: '2026-01-01T00:00:00.000Z' },
  };
  const egress: EgressRecord = {
    contacted: [contact],
    refused: [{ ...contact, hosts: ['other\u001b[2J.example'], reason: 'policy' }],
    unlisted: { contacted: 0, refused: 7 },
  };
  await run.job();
  await run.finish({ egress });
  expect((await server.call('GET', runPath)).body).toMatchObject({
    egress: {
      ...egress,
      contacted: [{ ...contact, hosts: ['***.evil.example'] }],
      refused: [{ ...contact, hosts: ['other␛[2J.example'], reason: 'policy' }],
    },
  });
});
