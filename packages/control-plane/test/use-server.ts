import { afterAll, beforeAll } from 'vitest';
import { startTestServer, TestRunner, type TestServer } from './deployments-server.ts';

/** What the tests of a file share; to be read in its tests and hooks alone. */
export let server: TestServer;
export let runner: TestRunner;

export function useServer(): void {
  beforeAll(async () => {
    server = await startTestServer();
  });
  afterAll(() => server?.stop());
}

export function useServerAndRunner(): void {
  useServer();
  beforeAll(async () => {
    runner = await TestRunner.register(server);
  });
}
