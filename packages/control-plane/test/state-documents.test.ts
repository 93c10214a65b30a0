import { request } from 'node:http';
import { text } from 'node:stream/consumers';
import { gzipSync } from 'node:zlib';
import { beforeAll, expect, test } from 'vitest';
import * as z from 'zod';
import { server, useServer } from './use-server.ts';

useServer();
let port: string;
beforeAll(() => {
  port = new URL(server.server.url).port;
});

/** Sends a body as it is, and answers the text as it came. */
async function send(
  method: string,
  path: string,
  body?: string | Buffer,
  headers: Record<string, string> = {},
) {
  const response = await fetch(`http://localhost:${port}${path}`, {
    method,
    headers: { authorization: `token ${server.server.adminToken}`, ...headers },
    ...(body === undefined ? {} : { body }),
  });
  return { status: response.status, text: await response.text() };
}

const opaque = `{ "manifest":{"time":"2026-01-01T00:00:00Z","magic":"","version":""},
  "resources":[ {"urn":"urn:pulumi:dev::shop::a:b:C::d","custom":false,"type":"a:b:C","inputs":{"big":12345678901234567890,"float":1.0,
  "zero":"\\u0000","lone":"\\ud800","exponent":1e400,"snowman":"☃"},"unknown":{"z":1,"a":2}} ],"future":[1.10] }`;

test('a state comes back to the letter: numbers, order, escapes, space and unknown members', async () => {
  const stack = await server.makeStack('letter');
  const body = `{"features":["later"],"other":0,"version":4,"deployment":${opaque}}`;
  const imported = await send('POST', `${stack}/import`, gzipSync(body), { 'content-encoding': 'gzip' });
  expect(imported).toMatchObject({ status: 200 });
  const exported = await send('GET', `${stack}/export`);
  expect(exported.text).toBe(`{"version":4,"features":["later"],"deployment":${opaque}}`);
});

test('a stack without a state exports one that the CLI can decode', async () => {
  const stack = await server.makeStack('empty');
  const exported = await send('GET', `${stack}/export`);
  expect(JSON.parse(exported.text)).toEqual({
    version: 3,
    deployment: { manifest: { time: '0001-01-01T00:00:00Z', magic: '', version: '' } },
  });
  expect(await send('POST', `${stack}/import`, exported.text)).toMatchObject({ status: 200 });
});

test('earlier states stay readable by their version', async () => {
  const stack = await server.makeStack('versions');
  const withResources = (count: number) => {
    const resource = { urn: 'urn:pulumi:versions::shop::a:b:C::d', type: 'a:b:C', custom: false };
    return JSON.stringify({ version: 3, deployment: { resources: Array(count).fill(resource) } });
  };
  for (const count of [1, 2, 3]) await send('POST', `${stack}/import`, withResources(count));
  for (const count of [1, 2, 3]) {
    expect((await send('GET', `${stack}/export/${count}`)).text).toBe(withResources(count));
  }
  expect((await send('GET', `${stack}/export`)).text).toBe(withResources(3));
});

test("a state's secrets open through whichever URL of this server its reader uses", async () => {
  const stack = await server.makeStack('urls');
  const stateOf = (url: string) =>
    `{"version":3,"deployment":{"manifest":{},"secrets_providers":{"type":"service","state":{"url":${JSON.stringify(url)},"owner":"acme"}},"resources":[{"inputs":{"url":${JSON.stringify(url)}}}]}}`;
  const written = `http://localhost:${port}`;
  const readers = [written, `http://127.0.0.1:${port}`, 'http://slipway.internal'];
  for (const writer of readers) {
    await send('POST', `${stack}/import`, stateOf(writer));
    for (const reader of readers) {
      const exported = await exportAs(stack, new URL(reader).host);
      // Only the provider's URL follows the reader; the same text elsewhere is the user's.
      expect(exported).toBe(stateOf(writer).replace(JSON.stringify(writer), JSON.stringify(reader)));
    }
    // A host that is not this server's gets the URL under which users log in, whatever a proxy says.
    expect(await exportAs(stack, 'evil.example.com')).toContain(`"url":"${written}","owner"`);
    expect(await exportAs(stack, 'evil.example.com', { 'x-forwarded-host': 'slipway.internal' })).toContain(
      `"url":"${written}","owner"`,
    );
  }
  const foreign = stateOf('https://api.pulumi.com');
  await send('POST', `${stack}/import`, foreign);
  expect((await send('GET', `${stack}/export`)).text).toBe(foreign);
});

/** An export by a client that reaches the server under a name of its own. */
function exportAs(
  stack: string,
  host: string,
  moreHeaders: Record<string, string> = {},
  body = '',
): Promise<string> {
  const headers = { host, authorization: `token ${server.server.adminToken}`, ...moreHeaders };
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  request({ host: '127.0.0.1', port, path: `${stack}/export`, headers }, (response) => {
    text(response).then(resolve, reject);
  })
    .on('error', reject)
    .end(body);
  return promise;
}

test('what is no state is refused with a sentence, and changes nothing', async () => {
  const stack = await server.makeStack('refused');
  await send('POST', `${stack}/import`, `{"version":3,"deployment":${opaque}}`);
  const before = (await send('GET', `${stack}/export`)).text;
  const refusals: [string | Buffer, string][] = [
    ['not JSON', 'not JSON'],
    ['{"version":3,"deployment":{', 'not JSON'],
    ['{"version":5,"deployment":{}}', 'version'],
    ['{"version":3,"deployment":{"resources":7}}', 'deployment.resources'],
    [Buffer.from('{"version":3,"deployment":{"a":"\xff"}}', 'latin1'), 'UTF-8'],
  ];
  for (const [body, sentence] of refusals) {
    const { status, text } = await send('POST', `${stack}/import`, body);
    expect({ status, ...errorBody.parse(JSON.parse(text)) }).toMatchObject({ status: 400, code: 400 });
    expect(text).toContain(sentence);
  }
  expect((await send('GET', `${stack}/export`)).text).toBe(before);
});

const errorBody = z.object({ code: z.number(), message: z.string() });

test('a body of 100 MB is refused with 413, packed or not, and the server goes on', async () => {
  const stack = await server.makeStack('huge');
  const huge = Buffer.alloc(100 * 1024 * 1024, 0x20);
  const packed = await send('POST', `${stack}/import`, gzipSync(huge), { 'content-encoding': 'gzip' });
  expect(packed).toMatchObject({ status: 413 });
  const message = 'Content Too Large: the body of this call has at most 64 MiB.';
  expect(JSON.parse(packed.text)).toEqual({ code: 413, message });
  // The server answers before it has read all: the client may see the answer, or its connection closed.
  const plain = await send('POST', `${stack}/import`, huge).catch(() => ({ status: 413 }));
  expect(plain.status).toBe(413);
  expect((await send('GET', `${stack}/export`)).status).toBe(200);
}, 60_000);

test('a broken gzip body is refused with 400', async () => {
  const stack = await server.makeStack('broken');
  const headers = { 'content-encoding': 'gzip' };
  expect((await send('POST', `${stack}/import`, 'no gzip', headers)).status).toBe(400);
  // The body of a GET is not read: its errors must find a listener all the same.
  await exportAs(stack, `localhost:${port}`, headers, 'no gzip');
  const cut = gzipSync('{"version":3,"deployment":{}}').subarray(0, 20);
  expect((await send('POST', `${stack}/import`, cut, headers)).status).toBe(400);
});
