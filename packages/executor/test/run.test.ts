import { afterAll, beforeAll, expect, test } from 'vitest';
import { execute, jobFrame, temporaryDirectory } from './testing/executor-process.ts';
import { type GitServer, makeRepository, serveGit } from './testing/git-server.ts';

let server: GitServer;
let root: AsyncDisposable & { path: string };

beforeAll(async () => {
  root = await temporaryDirectory();
  await makeRepository(`${root.path}/repositories/program`, {
    'Pulumi.yaml': 'name: greeting\nruntime: nodejs\n',
    'infra/deep/Pulumi.yaml': 'name: greeting\nruntime: nodejs\n',
  });
  server = await serveGit(`${root.path}/repositories`);
});
afterAll(async () => {
  await server[Symbol.asyncDispose]();
  await root[Symbol.asyncDispose]();
});

test('first', async () => {
  const record = await execute(
    jobFrame(`${root.path}/run1`, {
      source: { kind: 'git', repoUrl: `${server.url}/program/.git` },
      preRunCommands: ['echo hello; echo job-token-canary; env | sort', 'exit 3'],
    }),
  );
  console.log(record);
  expect(1).toBe(1);
});
