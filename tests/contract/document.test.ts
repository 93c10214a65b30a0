import { afterAll, beforeAll, expect, test } from 'vitest';
import { objectionTo } from './document.ts';
import {
  type DocumentedServer,
  requestedBy,
  stackOperations,
  startDocumentedServer,
} from './documented-server.ts';

let documented: DocumentedServer;
beforeAll(async () => {
  documented = await startDocumentedServer('contract');
});
afterAll(() => documented?.stop());

test('the comparison with the document finds what is wrong', () => {
  const operation = `GET ${stackOperations}/{deploymentId}`;
  const right = {
    ...{ id: 'i', version: 1, latestVersion: 1, status: 'running', created: '', modified: '' },
    requestedBy,
  };
  expect(objectionTo(operation, 200, right)).toBeUndefined();
  expect(objectionTo(operation, 200, { ...right, unknown: 1 })).toContain('additional properties');
  expect(objectionTo(operation, 200, { ...right, status: 'cancelled' })).toContain('allowed values');
  expect(objectionTo(operation, 200, {})).toContain("required property 'id'");
  expect(objectionTo(operation, 200, { ...right, requestedBy: { ...requestedBy, unknown: 1 } })).toContain(
    'requestedBy',
  );
  expect(objectionTo(operation, 418, right)).toContain('418');
  const logs = `GET ${stackOperations}/{deploymentId}/logs`;
  expect(
    objectionTo(logs, 200, { __type: 'DeploymentLogs', lines: [{ line: 'x\n', sequence: 1 }] }),
  ).toBeDefined();
});

test('what is not there answers 404, what is wrong 400', async () => {
  const { call, stack } = documented;
  const nowhere = crypto.randomUUID();
  expect(
    await call(`GET ${stackOperations}/{deploymentId}`, `${stack}/deployments/${nowhere}`),
  ).toMatchObject({ status: 404 });
  expect(await call(`GET ${stackOperations}/{deploymentId}`, `${stack}/deployments/no-uuid`)).toMatchObject({
    status: 404,
  });
  expect(
    await call(`POST ${stackOperations}/{deploymentId}/cancel`, `${stack}/deployments/${nowhere}/cancel`),
  ).toMatchObject({ status: 404 });
  expect(await call(`GET ${stackOperations}`, '/api/stacks/acme/shop/missing/deployments')).toMatchObject({
    status: 404,
  });
  expect(await call(`GET ${stackOperations}`, `${stack}/deployments?pageSize=101`)).toMatchObject({
    status: 400,
  });
  expect(await call(`GET ${stackOperations}`, `${stack}/deployments?sort=colour`)).toMatchObject({
    status: 400,
  });
  expect(await call('GET /api/orgs/{orgName}/deployments', '/api/orgs/other/deployments')).toMatchObject({
    status: 404,
  });
});

test('the dependency cache of a project is cleared', async () => {
  const { call, stack } = documented;
  const operation = `DELETE ${stackOperations}/cache`;
  expect(await call(operation, `${stack}/deployments/cache`)).toEqual({ status: 200, body: undefined });
  const missing = stack.replace(/[^/]+$/, 'not-there');
  expect(await call(operation, `${missing}/deployments/cache`)).toMatchObject({ status: 404 });
});
