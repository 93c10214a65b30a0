import { type AddressInfo, connect, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createApp } from '../src/http/app.ts';
import { unauthorized } from '../src/http/errors.ts';

const app = createApp({
  logger: false,
  timeouts: { headMilliseconds: 300, callMilliseconds: 1500, unreadMilliseconds: 300, lookMilliseconds: 50 },
});
app.post('/slow-answer', async () => {
  await sleep(2500);
  return { late: true };
});
app.post(
  '/closed',
  { onRequest: async () => Promise.reject(unauthorized('Unauthorized')) },
  async () => ({}),
);
app.post('/open', async () => ({}));
beforeAll(async () => {
  await app.listen({ host: '127.0.0.1', port: 0 });
});
afterAll(() => app.close());

const head = (path: string) => `POST ${path} HTTP/1.1\r\nHost: test\r\nContent-Length: 1000\r\n\r\n`;

/** Sends `text` and then a byte at a time, until the server closes the connection. Answers what it heard. */
async function drip(text: string): Promise<{ heard: string; milliseconds: number }> {
  const started = performance.now();
  const socket: Socket = connect((app.server.address() as AddressInfo).port, '127.0.0.1');
  let heard = '';
  socket.on('data', (chunk) => {
    heard += chunk.toString();
  });
  // A server that cuts off may do it with a reset.
  socket.on('error', () => undefined);
  socket.write(text);
  const dripping = setInterval(() => socket.write('x'), 50);
  await new Promise((resolve) => socket.once('close', resolve));
  clearInterval(dripping);
  return { heard: heard.split('\r\n', 1)[0] ?? '', milliseconds: performance.now() - started };
}

test.each([
  ['its head', 'POST /open HTTP/1.1\r\nHost: te', 'HTTP/1.1 408 Request Timeout', 1400],
  // 1000 bytes would take 50 s.
  ['its body', head('/open'), 'HTTP/1.1 408 Request Timeout', 10_000],
  ['a body that nobody reads', head('/closed'), 'HTTP/1.1 401 Unauthorized', 1400],
])('a client that sends %s a byte at a time is cut off', async (_what, text, heard, within) => {
  const cut = await drip(text);
  expect(cut.heard).toBe(heard);
  expect(cut.milliseconds).toBeLessThan(within);
});

test('a client that waits for its answer is not cut off, however long that takes', async () => {
  const url = `http://127.0.0.1:${(app.server.address() as AddressInfo).port}/slow-answer`;
  const response = await fetch(url, { method: 'POST', body: '{}' });
  expect(await response.json()).toEqual({ late: true });
});
