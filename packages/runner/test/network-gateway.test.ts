import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer, type RequestListener, type RequestOptions, request, type Server } from 'node:http';
import { createServer as createSecureServer } from 'node:https';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { afterEach, describe, expect, test } from 'vitest';
import { type Gateway, startGateway } from '../src/network/gateway.ts';

const closing: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});

describe('the gateway', () => {
  test('passes on method, path, query, body and answer, with slipway.internal as the host', async () => {
    const gateway = await gatewayTo(async (incoming, answer) => {
      answer.writeHead(418, { 'x-answer': 'yes' });
      answer.end(`${incoming.method} ${incoming.url} ${incoming.headers.host} ${await text(incoming)}`);
    });
    const answer = await ask(gateway, { method: 'PATCH', path: '/api/a%2Fb?c=d' }, 'the body');
    expect(answer).toMatchObject({ status: 418, headers: { 'x-answer': 'yes' } });
    expect(answer.body).toBe('PATCH /api/a%2Fb?c=d slipway.internal the body');
  });

  test('passes on a body of unknown length, whatever the method', async () => {
    const gateway = await gatewayTo(async (incoming, answer) => answer.end(await text(incoming)));
    const headers = { 'transfer-encoding': 'chunked' };
    for (const method of ['POST', 'DELETE']) {
      expect(await ask(gateway, { method, headers }, method)).toMatchObject({ status: 200, body: method });
    }
    expect(await ask(gateway, {})).toMatchObject({ status: 200, body: '' });
  });

  test('does not let a sandbox say where it comes from', async () => {
    const gateway = await gatewayTo((incoming, answer) => answer.end(JSON.stringify(incoming.headers)));
    const headers = { 'x-forwarded-for': '10.0.0.1', forwarded: 'for=10.0.0.1', authorization: 'token t' };
    const { body } = await ask(gateway, { headers });
    expect(body).not.toContain('10.0.0.1');
    expect(body).toContain('token t');
  });

  test('passes on each piece as it comes, both ways', async () => {
    // Echoes: the second piece is sent only when the first one is back, so a gateway that buffers would wait forever.
    const gateway = await gatewayTo((incoming, answer) => {
      answer.flushHeaders();
      incoming.pipe(answer);
    });
    const outgoing = request({ host: '127.0.0.1', port: gateway.port, method: 'POST' });
    outgoing.flushHeaders();
    const [response] = await once(outgoing, 'response');
    for (const piece of ['first', 'second']) {
      outgoing.write(piece);
      expect(String((await once(response, 'data'))[0])).toBe(piece);
    }
    outgoing.end();
    await once(response, 'end');
  });

  test('passes on an answer that comes before the body was read', async () => {
    const gateway = await gatewayTo((_incoming, answer) => {
      answer.writeHead(413, { connection: 'close' });
      answer.end('too long');
    });
    const { status, body } = await ask(gateway, { method: 'POST' }, Buffer.alloc(64 * 1024));
    expect({ status, body }).toEqual({ status: 413, body: 'too long' });
  });

  test('leads nowhere else, whatever URL or host is asked for', async () => {
    const other = await serve(createServer((_incoming, answer) => answer.end('elsewhere')));
    const gateway = await gatewayTo((incoming, answer) => answer.end(`the control plane: ${incoming.url}`));
    expect(await ask(gateway, { path: `http://127.0.0.1:${other}/` })).toMatchObject({ status: 400 });
    const asked = [`//127.0.0.1:${other}/`, '/'];
    for (const path of asked) {
      const { body } = await ask(gateway, { path, headers: { host: `127.0.0.1:${other}` } });
      expect(body).toBe(`the control plane: ${path}`);
    }
    const tunnel = request({
      host: '127.0.0.1',
      port: gateway.port,
      method: 'CONNECT',
      path: `127.0.0.1:${other}`,
    });
    tunnel.end();
    const [error] = await once(tunnel, 'error').catch((reason: unknown) => [reason]);
    expect(String(error)).toContain('socket hang up');
  });

  test('stays below the path of the control plane: no spelling of ".." leaves it', async () => {
    const asked: string[] = [];
    const port = await serve(
      createServer((incoming, answer) => {
        asked.push(incoming.url ?? '');
        answer.end();
      }),
    );
    const gateway = await open(new URL(`http://127.0.0.1:${port}/slipway`));
    const leaving = [
      '/../admin',
      '/a/..',
      '/%2e%2E/admin',
      '/..%2fadmin',
      '/a/..\\admin',
      '/.%2e;x/admin',
      '/./a',
    ];
    for (const path of leaving) expect(await ask(gateway, { path })).toMatchObject({ status: 400 });
    for (const path of ['/api/..a/b...?c=/../d', '/api/.git']) {
      expect(await ask(gateway, { path })).toMatchObject({ status: 200 });
    }
    expect(asked).toEqual(['/slipway/api/..a/b...?c=/../d', '/slipway/api/.git']);
  });

  test('answers 502 and says so when the control plane does not answer', async () => {
    const gateway = await open(new URL('http://127.0.0.1:1'));
    const { status, body } = await ask(gateway, { path: '/api/user' });
    expect(status).toBe(502);
    expect(JSON.parse(body)).toEqual({ code: 502, message: expect.stringContaining('does not answer') });
  });

  test('gives up the control plane when the sandbox hangs up', async () => {
    const heard = Promise.withResolvers<void>();
    const hungUp = Promise.withResolvers<void>();
    const gateway = await gatewayTo((_incoming, answer) => {
      heard.resolve();
      answer.once('close', () => hungUp.resolve());
    });
    const outgoing = request({ host: '127.0.0.1', port: gateway.port }).on('error', () => {});
    outgoing.end();
    await heard.promise;
    outgoing.destroy();
    await hungUp.promise;
  });

  test('refuses headers that are too long, and more connections than it has', async () => {
    const gateway = await gatewayTo((_incoming, answer) => answer.end('well'));
    expect(await ask(gateway, { headers: { cookie: 'x'.repeat(40_000) } })).toMatchObject({ status: 431 });
    const flood = await Promise.all(
      Array.from({ length: 200 }, async () => {
        const socket = connect(gateway.port, '127.0.0.1').on('error', () => {});
        socket.resume();
        closing.push(() => socket.destroy());
        await once(socket, 'connect');
        return socket;
      }),
    );
    await new Promise((resolve) => setTimeout(resolve, 200));
    expect(flood.filter((socket) => socket.readyState === 'open').length).toBeLessThanOrEqual(128);
  });

  test('survives what is no HTTP, or nearly none', async () => {
    const gateway = await gatewayTo((incoming, answer) => incoming.pipe(answer));
    const hostile = [
      '\0\x01\x02',
      'GET /\x01 HTTP/1.1\r\nhost: a\r\n\r\n',
      'GET /\xff\x7f HTTP/1.1\r\nhost: a\r\nx: \xff\x80\r\n\r\n',
      'GET /%00%0d%0a HTTP/1.1\r\nhost: a\r\nconnection: host, content-length\r\ncontent-length: 3\r\n\r\nabc',
      'POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\ncontent-length: 3\r\n\r\nabc',
      'POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n',
      'POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1000\r\n\r\nabc',
      'GET / HTTP/1.1\r\nhost: a\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n',
      'OPTIONS * HTTP/1.1\r\nhost: a\r\n\r\n',
    ];
    for (const bytes of hostile) {
      const socket = connect(gateway.port, '127.0.0.1').on('error', () => {});
      socket.resume();
      socket.end(Buffer.from(bytes, 'latin1'));
      await once(socket, 'close');
    }
    expect(await ask(gateway, { method: 'POST' }, 'still here')).toMatchObject({ body: 'still here' });
  });

  test('trusts a private authority for an HTTPS control plane only when it is given', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'slipway-gateway-'));
    closing.push(() => rmSync(folder, { recursive: true }));
    const [key, certificate] = [join(folder, 'key.pem'), join(folder, 'certificate.pem')];
    const subject = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost'];
    const files = ['-keyout', key, '-out', certificate];
    execFileSync(
      'openssl',
      ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '1', ...subject, ...files],
      {
        stdio: 'ignore',
      },
    );
    const options = { key: readFileSync(key), cert: readFileSync(certificate) };
    const port = await serve(
      createSecureServer(options, (incoming, answer) => answer.end(`safe ${incoming.url}`)),
    );
    const controlPlaneUrl = new URL(`https://localhost:${port}/prefix/`);
    const trusting = await open(controlPlaneUrl, readFileSync(certificate, 'utf8'));
    expect(await ask(trusting, { path: '/api' })).toMatchObject({ status: 200, body: 'safe /prefix/api' });
    expect(await ask(await open(controlPlaneUrl), { path: '/api' })).toMatchObject({ status: 502 });
  });
});

async function serve(
  server: Pick<Server, 'listen' | 'close' | 'closeAllConnections' | 'address' | 'once'>,
): Promise<number> {
  await new Promise<void>((resolve) => server.listen(0, 'localhost', resolve));
  closing.push(() => {
    server.closeAllConnections();
    return new Promise((resolve) => server.close(resolve));
  });
  const address = server.address();
  return typeof address === 'object' && address !== null ? address.port : 0;
}

async function gatewayTo(controlPlane: RequestListener): Promise<Gateway> {
  return open(new URL(`http://localhost:${await serve(createServer(controlPlane))}`));
}

async function open(controlPlaneUrl: URL, extraCertificates?: string): Promise<Gateway> {
  const gateway = await startGateway({ controlPlaneUrl, ...(extraCertificates && { extraCertificates }) });
  closing.push(() => gateway.close());
  return gateway;
}

async function ask(gateway: Gateway, options: RequestOptions, body?: string | Buffer) {
  const outgoing = request({ host: '127.0.0.1', port: gateway.port, agent: false, ...options });
  outgoing.end(body);
  const [response] = await once(outgoing, 'response');
  return { status: response.statusCode, headers: response.headers, body: await text(response) };
}
