import { afterAll, beforeAll } from 'vitest';
import { startTestServer, TestRunner, type TestServer } from './deployments-server.ts';

/** What the tests of a file share; to be read in its tests and hooks alone. */
export let server: TestServer;
export let runner: TestRunner;

export function useServerAndRunner(): void {
  beforeAll(async () => {
    server = await startTestServer();
    runner = await TestRunner.register(server);
  });
  afterAll(() => server?.stop());
}
