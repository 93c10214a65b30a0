import { randomUUID, sign } from 'node:crypto';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { runCommand } from '../setup/run-command.ts';

/** Gives out the bearer tokens that a registry wants, to logins that it knows. */
export interface TokenService extends AsyncDisposable {
  readonly url: string;
  /** `auth` of docker-registry's configuration. */
  readonly registryAuthentication: object;
  /** Lets a user name and password in, from now on. */
  admit(userName: string, password: string): void;
  /** Logins that were refused. */
  readonly refused: readonly string[];
  /** Answers calls to other paths; undefined: not found. */
  answerElse: (call: IncomingMessage, body: string) => object | undefined;
}

const issuer = 'token service of the test';
const service = 'registry of the test';

/** https://distribution.github.io/distribution/spec/auth/token/ */
export async function startTokenService(folder: string): Promise<TokenService> {
  const [keyPath, certificatePath] = [join(folder, 'token-key.pem'), join(folder, 'token-certificate.pem')];
  await runCommand([
    ...[
      'openssl',
      'req',
      '-x509',
      '-newkey',
      'ec',
      '-pkeyopt',
      'ec_paramgen_curve:P-256',
      '-nodes',
      '-days',
      '2',
    ],
    ...['-keyout', keyPath, '-out', certificatePath, '-subj', '/CN=token service'],
  ]);
  const key = await readFile(keyPath);
  const certificate = (await readFile(certificatePath, 'utf8')).replace(/-----[^-]+-----|\s/g, '');
  const admitted = new Set<string>();
  const refused: string[] = [];

  const tokenFor = (call: IncomingMessage): object | undefined => {
    const url = new URL(call.url ?? '', 'http://service');
    const login = Buffer.from(call.headers.authorization?.replace('Basic ', '') ?? '', 'base64').toString();
    if (!admitted.has(login)) {
      refused.push(login);
      return undefined;
    }
    const access = url.searchParams.getAll('scope').map((scope) => {
      const [type, name, actions = ''] = scope.split(':');
      return { type, name, actions: actions.split(',') };
    });
    const now = Math.floor(Date.now() / 1000);
    const claims = {
      iss: issuer,
      sub: '',
      aud: service,
      exp: now + 300,
      nbf: now - 5,
      iat: now,
      jti: randomUUID(),
      access,
    };
    const encode = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');
    const signed = `${encode({ typ: 'JWT', alg: 'ES256', x5c: [certificate] })}.${encode(claims)}`;
    const signature = sign('sha256', Buffer.from(signed), { key, dsaEncoding: 'ieee-p1363' });
    return { token: `${signed}.${signature.toString('base64url')}` };
  };

  const server = createServer(async (call, answer) => {
    let body = '';
    for await (const chunk of call) body += chunk;
    const isToken = call.url?.startsWith('/token?') ?? false;
    const found = isToken ? tokenFor(call) : started.answerElse(call, body);
    answer.writeHead(found ? 200 : isToken ? 401 : 404, {
      'content-type': 'application/json',
      'metadata-flavor': 'Google',
    });
    answer.end(
      JSON.stringify(found ?? { errors: [{ code: 'UNAUTHORIZED', message: 'authentication required' }] }),
    );
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const started: TokenService = {
    url,
    registryAuthentication: {
      token: { realm: `${url}/token`, service, issuer, rootcertbundle: certificatePath },
    },
    admit: (userName, password) => void admitted.add(`${userName}:${password}`),
    refused,
    answerElse: () => undefined,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      server.close();
    },
  };
  return started;
}
