import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { Connection } from '../src/control-plane-client/connection.ts';

let directory: string;
let certificate: string;
const server = createServer();

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'slipway-tls-test-'));
  const [key, file] = [join(directory, 'key.pem'), join(directory, 'certificate.pem')];
  execFileSync(
    'openssl',
    [
      ...[
        'req',
        '-x509',
        '-newkey',
        'ec',
        '-pkeyopt',
        'ec_paramgen_curve:prime256v1',
        '-nodes',
        '-days',
        '2',
      ],
      ...['-keyout', key, '-out', file, '-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost'],
    ],
    { stdio: 'pipe' },
  );
  certificate = readFileSync(file, 'utf8');
  server.setSecureContext({ key: readFileSync(key), cert: certificate });
  server.on('request', (request, response) => response.end(request.headers.authorization));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
});

afterAll(async () => {
  await new Promise((resolve) => server.close(resolve));
  await rm(directory, { recursive: true, force: true });
});

async function post(certificateAuthority?: string): Promise<string> {
  const { port } = server.address() as AddressInfo;
  const connection = new Connection(new URL(`https://localhost:${port}`), certificateAuthority);
  try {
    const options = { authorization: 'token of the pool', body: '{}', timeoutMilliseconds: 5_000 };
    return (await connection.post('claim', options)).body;
  } finally {
    connection.close();
  }
}

test('a control plane with a private authority is trusted when that is given, and never otherwise', async () => {
  await expect(post()).rejects.toThrow(/self-signed certificate/);
  expect(await post(certificate)).toBe('token of the pool');
});
