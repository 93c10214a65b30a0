import { expect } from 'vitest';
import {
  type Answer,
  startTestServer,
  type TestServer,
} from '../../packages/control-plane/test/deployments-server.ts';
import { objectionTo } from './document.ts';

/** A server, and calls whose answers are held against the document. */
export interface DocumentedServer {
  readonly server: TestServer;
  /** API path of a stack. */
  readonly stack: string;
  /** Calls an operation, as the document names it: `GET /api/…/{name}`. */
  call(operation: string, path: string, body?: object, headers?: Record<string, string>): Promise<Answer>;
  stop(): Promise<void>;
}

export async function startDocumentedServer(stackName: string): Promise<DocumentedServer> {
  const server = await startTestServer();
  return {
    server,
    stack: await server.makeStack(stackName),
    call: async (operation, path, body, headers = {}) => {
      const [method = ''] = operation.split(' ');
      const answer = await server.call(method, path, body, { headers });
      const objection = objectionTo(operation, answer.status, answer.body);
      expect(objection, JSON.stringify(answer.body)).toBeUndefined();
      return answer;
    },
    stop: () => server.stop(),
  };
}

export const stackOperations = '/api/stacks/{orgName}/{projectName}/{stackName}/deployments';

export const sqlTime = expect.stringMatching(/^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}$/);
export const rfcTime = expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$/);
export const uuid = expect.stringMatching(/^[0-9a-f-]{36}$/);
export const ciphertext = { ciphertext: expect.stringMatching(/^[A-Za-z0-9+/]{16,}={0,2}$/) };
export const requestedBy = { name: 'Administrator', githubLogin: 'admin', email: '', avatarUrl: '' };
