/**
 * A host of somebody's own network: git over HTTPS (with a certificate of a private authority) and over HTTP, answers
 * that npm and `pulumi` understand, and a forward proxy. Tells each request on its standard output, one a line.
 * Arguments: folder with `server.key`, `server.crt` and `repositories`; address to listen at.
 */
import { readFileSync } from 'node:fs';
import {
  createServer,
  type IncomingMessage,
  type RequestListener,
  request as requestHttp,
  type ServerResponse,
} from 'node:http';
import { createServer as createSecureServer } from 'node:https';
import { connect, type Server } from 'node:net';
import { join } from 'node:path';
import { answerGit } from '../../packages/executor/test/testing/git-server.ts';
import { privateHostPorts } from './private-host.ts';

const [folder = '', address = ''] = process.argv.slice(2);
const answers = new Map([
  ['/hello', 'hello from the private host'],
  ['/npm/-/ping', '{}'],
  ['/api/user', '{"githubLogin":"private-user","name":"private-user","organizations":[]}'],
  ['/api/capabilities', '{"capabilities":[]}'],
  ['/api/user/organizations/default', '{"GitHubLogin":"private-user"}'],
]);

function tell(...words: (string | undefined)[]): void {
  process.stdout.write(`${words.join(' ')}\n`);
}

const serve =
  (what: string): RequestListener =>
  (request, response) => {
    tell(what, request.method, request.url);
    const answer = answers.get(new URL(request.url ?? '/', 'http://host').pathname);
    if (answer === undefined) answerGit(join(folder, 'repositories'), request, response);
    else response.setHeader('content-type', 'application/json').end(answer);
  };

function forward(request: IncomingMessage, response: ServerResponse): void {
  tell('proxy', request.method, request.url);
  const { method, headers } = request;
  const onward = requestHttp(request.url ?? '', { method, headers }, (answer) => {
    response.writeHead(answer.statusCode ?? 502, answer.headers);
    answer.pipe(response);
  });
  onward.on('error', () => response.writeHead(502).end());
  request.pipe(onward);
}

const proxy = createServer(forward).on('connect', (request, client) => {
  tell('proxy', request.method, request.url);
  const { hostname, port } = new URL(`http://${request.url}`);
  const onward = connect(Number(port || 80), hostname, () => {
    client.write('HTTP/1.1 200 Connected\r\n\r\n');
    onward.pipe(client).pipe(onward);
  });
  onward.on('error', () => client.destroy());
  client.on('error', () => onward.destroy());
});

const listening = (server: Server, port: number) =>
  new Promise<void>((resolve) => server.listen(port, address, resolve));
const pair = {
  key: readFileSync(join(folder, 'server.key')),
  cert: readFileSync(join(folder, 'server.crt')),
};
await listening(createSecureServer(pair, serve('https')), privateHostPorts.https);
await listening(createServer(serve('http')), privateHostPorts.http);
await listening(proxy, privateHostPorts.proxy);
tell('ready');
