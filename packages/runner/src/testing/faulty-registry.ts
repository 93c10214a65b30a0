import { once } from 'node:events';
import { createServer, type IncomingMessage, request, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';

/** What goes wrong with an answer. */
export type Fault =
  /** It is another one, with this status. */
  | { readonly status: number; readonly headers?: Readonly<Record<string, string>>; readonly body?: object }
  /** The connection ends after so many bytes of it. */
  | { readonly cutAfterBytes: number }
  /** Nothing comes any more after so many bytes of it. */
  | { readonly stallAfterBytes: number }
  /** So many bytes come in a second. */
  | { readonly bytesPerSecond: number }
  /** A byte in the middle is another one. */
  | { readonly changed: true }
  /** It goes on for ever, without saying how long it is. */
  | { readonly endless: true };

/** Stands before a registry and spoils some of its answers. */
export interface FaultyRegistry extends AsyncDisposable {
  readonly host: string;
  /** Paths that were asked for. */
  readonly asked: readonly string[];
  /** The next answers to calls whose path matches get these faults, one each; the last one stays when `forGood`. */
  fail(path: RegExp, faults: readonly Fault[], forGood?: boolean): void;
}

/** `upstream`: host and port of the registry. */
export async function startFaultyRegistry(upstream: string): Promise<FaultyRegistry> {
  const plans: { path: RegExp; faults: Fault[]; forGood: boolean }[] = [];
  const asked: string[] = [];
  const sockets = new Set<Socket>();
  const server = createServer(async (call, answer) => {
    const path = call.url ?? '';
    asked.push(path);
    const plan = plans.find((each) => each.path.test(path) && each.faults.length > 0);
    const [fault] = plan?.faults ?? [];
    if (plan && !(plan.forGood && plan.faults.length === 1)) plan.faults.shift();
    await respond(upstream, call, answer, fault).catch(() => answer.destroy());
  });
  server.on('connection', (socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    host: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    asked,
    fail: (path, faults, forGood = false) => void plans.unshift({ path, faults: [...faults], forGood }),
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      server.close();
    },
  };
}

/** As registries say it (OCI distribution specification, error codes). */
const errors: Readonly<Record<number, object>> = {
  401: { code: 'UNAUTHORIZED', message: 'authentication required' },
  403: { code: 'DENIED', message: 'requested access to the resource is denied' },
  429: { code: 'TOOMANYREQUESTS', message: 'You have reached your pull rate limit' },
};

async function respond(
  upstream: string,
  call: IncomingMessage,
  answer: ServerResponse,
  fault: Fault | undefined,
): Promise<void> {
  if (fault && 'status' in fault) {
    answer.writeHead(fault.status, { 'content-type': 'application/json', ...fault.headers });
    answer.end(JSON.stringify(fault.body ?? { errors: [errors[fault.status] ?? { code: 'UNKNOWN' }] }));
    return;
  }
  const { method = 'GET', url = '/', headers } = call;
  const forwarded = request(`http://${upstream}${url}`, { method, headers });
  call.pipe(forwarded);
  const [original]: IncomingMessage[] = await once(forwarded, 'response');
  if (!original) throw new Error('no answer');
  const { 'content-length': length, ...others } = original.headers;
  const saysLength = length !== undefined && !(fault && 'endless' in fault);
  answer.writeHead(original.statusCode ?? 502, {
    ...others,
    ...(saysLength && { 'content-length': length }),
  });
  let sent = 0;
  for await (const chunk of original) {
    if (!(chunk instanceof Buffer)) throw new TypeError('an answer is read as bytes');
    await send(answer, chunk, sent, fault);
    sent += chunk.length;
  }
  while (fault && 'endless' in fault && !answer.destroyed) await write(answer, Buffer.alloc(64 * 1024));
  answer.end();
}

async function send(
  answer: ServerResponse,
  chunk: Buffer,
  sent: number,
  fault: Fault | undefined,
): Promise<void> {
  if (fault && 'cutAfterBytes' in fault && sent + chunk.length > fault.cutAfterBytes) {
    await write(answer, chunk.subarray(0, Math.max(0, fault.cutAfterBytes - sent)));
    throw new Error('cut');
  }
  if (fault && 'stallAfterBytes' in fault && sent + chunk.length > fault.stallAfterBytes) {
    await write(answer, chunk.subarray(0, Math.max(0, fault.stallAfterBytes - sent)));
    await once(answer, 'close');
    throw new Error('stalled');
  }
  if (fault && 'bytesPerSecond' in fault) await delay((chunk.length / fault.bytesPerSecond) * 1000);
  if (fault && 'changed' in fault && sent === 0) chunk.writeUInt8(chunk.readUInt8(0) ^ 1, 0);
  await write(answer, chunk);
}

async function write(answer: ServerResponse, bytes: Buffer): Promise<void> {
  if (answer.write(bytes) || answer.destroyed) return;
  const settled = new AbortController();
  const { signal } = settled;
  const either = [once(answer, 'drain', { signal }), once(answer, 'close', { signal })];
  for (const each of either) each.catch(() => {});
  await Promise.race(either);
  settled.abort();
}
