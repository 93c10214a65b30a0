import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { type ClientRequest, get, type IncomingMessage, request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { type Server, startServer } from '../src/server.ts';

let folder: string;
let server: Server;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'slipway-examples-'));
  const exampleRepository = join(folder, 'examples');
  execFileSync('git', ['init', '--quiet', '--bare', exampleRepository]);
  const options = { dataDirectory: join(folder, 'data'), host: '127.0.0.1', port: 0, organization: 'acme' };
  server = await startServer({ ...options, exampleRepository });
});
afterAll(async () => {
  await server?.close();
  rmSync(folder, { recursive: true, force: true });
});

async function statusOfFetch(): Promise<number | undefined> {
  const outgoing = get(`${server.url}/examples.git/info/refs?service=git-upload-pack`, { agent: false });
  const [answer]: IncomingMessage[] = await once(outgoing, 'response');
  answer?.resume();
  return answer?.statusCode;
}

test('calls for the examples that never end take a bounded number of processes, and free them when they go', async () => {
  const stuck: ClientRequest[] = [];
  for (let count = 0; count < 16; count += 1) {
    const outgoing = request(`${server.url}/examples.git/git-upload-pack`, {
      method: 'POST',
      headers: {
        'content-type': 'application/x-git-upload-pack-request',
        'content-length': 1000,
        expect: '100-continue',
      },
    });
    outgoing.on('error', () => undefined);
    const taken = once(outgoing, 'continue');
    outgoing.flushHeaders();
    // One after the other: a call that came after the one below would be refused, and hold nothing.
    await taken;
    stuck.push(outgoing);
  }
  await vi.waitFor(async () => expect(await statusOfFetch()).toBe(503), { timeout: 20_000 });
  for (const outgoing of stuck) {
    const gone = once(outgoing, 'close');
    outgoing.destroy();
    await gone;
  }
  await vi.waitFor(async () => expect(await statusOfFetch()).toBe(200), { timeout: 20_000 });
}, 60_000);

test('git may send its wishes packed', async () => {
  const wishes = gzipSync('0014command=ls-refs\n0000');
  const response = await fetch(`${server.url}/examples.git/git-upload-pack`, {
    method: 'POST',
    headers: {
      'content-type': 'application/x-git-upload-pack-request',
      'content-encoding': 'gzip',
      'git-protocol': 'version=2',
    },
    body: new Uint8Array(wishes),
  });
  expect(response.status).toBe(200);
  expect(await response.text()).toBe('0000');
});
