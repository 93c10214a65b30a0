import { afterAll, beforeAll, expect, test } from 'vitest';
import {
  ciphertext,
  type DocumentedServer,
  stackOperations,
  startDocumentedServer,
} from './documented-server.ts';

let documented: DocumentedServer;
beforeAll(async () => {
  documented = await startDocumentedServer('settings');
});
afterAll(() => documented?.stop());

test('settings', async () => {
  const { call, stack } = documented;
  const path = `${stack}/deployments/settings`;
  const operation = (method: string) => `${method} ${stackOperations}/settings`;
  expect(await call(operation('GET'), path)).toMatchObject({ status: 404, body: { code: 404 } });
  const settings = {
    executorContext: {
      executorImage: {
        reference: 'registry/image',
        credentials: { username: 'u', password: { secret: 'p-secret' } },
      },
    },
    sourceContext: {
      git: {
        ...{ repoURL: 'https://git.example.com/shop.git', branch: 'main', repoDir: 'infra' },
        gitAuth: { basicAuth: { userName: 'git', password: { secret: 'g-secret' } } },
      },
    },
    gitHub: { repository: 'acme/shop', deployCommits: true, pullRequestTemplate: false },
    operationContext: {
      ...{ preRunCommands: ['date'], options: { skipInstallDependencies: true, shell: '/bin/bash' } },
      environmentVariables: { REGION: 'eu', PASSWORD: { secret: 'e-secret' } },
      oidc: { aws: { roleArn: 'arn:x', sessionName: 's', duration: '1h0m0s' } },
    },
    cacheOptions: { enable: true },
  };
  const answered = {
    version: 1,
    source: 'api',
    executorContext: {
      executorImage: { reference: 'registry/image', credentials: { username: 'u', password: ciphertext } },
    },
    sourceContext: {
      git: {
        ...{ repoUrl: 'https://git.example.com/shop.git', branch: 'main', repoDir: 'infra' },
        gitAuth: { basicAuth: { userName: 'git', password: ciphertext } },
      },
    },
    gitHub: { repository: 'acme/shop', deployCommits: true, pullRequestTemplate: false },
    vcs: { provider: 'github', repository: 'acme/shop', deployCommits: true, pullRequestTemplate: false },
    operationContext: {
      ...{ preRunCommands: ['date'], options: { skipInstallDependencies: true, shell: '/bin/bash' } },
      environmentVariables: { REGION: 'eu', PASSWORD: ciphertext },
      oidc: { aws: { roleArn: 'arn:x', sessionName: 's', duration: '1h0m0s' } },
    },
    cacheOptions: { enable: true },
  };
  const put = await call(operation('PUT'), path, settings);
  expect(put).toEqual({ status: 200, body: answered });
  expect(await call(operation('GET'), path)).toEqual(put);
  const patch = {
    tag: 'later',
    gitHub: null,
    operationContext: { options: null, environmentVariables: { REGION: null } },
  };
  const provider = { 'x-pulumi-source': 'provider' };
  expect(await call(operation('POST'), path, patch, provider)).toEqual({
    status: 200,
    body: {
      ...answered,
      ...{ version: 2, source: 'provider', tag: 'later', gitHub: undefined, vcs: undefined },
      operationContext: {
        ...{ preRunCommands: ['date'], oidc: answered.operationContext.oidc },
        environmentVariables: { PASSWORD: ciphertext },
      },
    },
  });
  expect(await call(`POST ${stackOperations}/settings/encrypt`, `${path}/encrypt`, { secret: 'x' })).toEqual({
    status: 200,
    body: ciphertext,
  });
  expect(await call(`POST ${stackOperations}/settings/encrypt`, `${path}/encrypt`, {})).toMatchObject({
    status: 400,
  });
  expect(await call(operation('POST'), path, { agentPoolID: 'nowhere' })).toMatchObject({ status: 400 });
  expect(await call(operation('DELETE'), path)).toEqual({ status: 200, body: true });
  expect(await call(operation('DELETE'), path)).toEqual({ status: 200, body: false });
});
