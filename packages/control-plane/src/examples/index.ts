import { type ChildProcess, spawn } from 'node:child_process';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { FastifyInstance } from 'fastify';
import { HttpError } from '../http/errors.ts';

/** Path of the repository of examples, also inside a run: `http://slipway.internal/examples.git`. */
export const exampleRepositoryPath = '/examples.git';

/** Each call has a process of git's, and anybody may call. */
const maximumProcesses = 16;

/**
 * Serves one bare git repository read-only (`git http-backend`), so that a first deployment needs no git host.
 * Only fetching is answered; everybody who reaches the API can read it.
 */
export function exampleRoutes(app: FastifyInstance, repositoryDirectory: string): void {
  app.addContentTypeParser('application/x-git-upload-pack-request', (_request, payload, done) =>
    done(null, payload),
  );
  let processes = 0;
  const serve = (service: string, url: string) => {
    app.route({
      method: service === 'info' ? 'GET' : 'POST',
      url,
      handler: async (request, reply) => {
        if (processes >= maximumProcesses) {
          throw new HttpError(503, 'Service Unavailable: the examples are being fetched by many; try again.');
        }
        reply.hijack();
        processes += 1;
        const child = serveGit(repositoryDirectory, request.raw, request.body, reply.raw);
        child.once('close', () => {
          processes -= 1;
        });
      },
    });
  };
  serve('info', `${exampleRepositoryPath}/info/refs`);
  serve('upload-pack', `${exampleRepositoryPath}/git-upload-pack`);
}

function serveGit(
  repositoryDirectory: string,
  request: IncomingMessage,
  body: unknown,
  response: ServerResponse,
): ChildProcess {
  const url = new URL(request.url ?? '/', 'http://localhost');
  const child = spawn('git', ['http-backend'], {
    env: {
      PATH: process.env.PATH,
      GIT_PROJECT_ROOT: repositoryDirectory,
      GIT_HTTP_EXPORT_ALL: '1',
      // The repository belongs to whoever started Slipway, which need not be the owner that git expects.
      GIT_CONFIG_COUNT: '1',
      GIT_CONFIG_KEY_0: 'safe.directory',
      GIT_CONFIG_VALUE_0: '*',
      REQUEST_METHOD: request.method,
      PATH_INFO: url.pathname.slice(exampleRepositoryPath.length),
      QUERY_STRING: url.search.slice(1),
      CONTENT_TYPE: request.headers['content-type'] ?? '',
      HTTP_CONTENT_ENCODING: request.headers['content-encoding'] ?? '',
      GIT_PROTOCOL: String(request.headers['git-protocol'] ?? ''),
    },
    stdio: ['pipe', 'pipe', 'ignore'],
  });
  child.once('error', () => response.destroy());
  if (isStream(body)) body.pipe(child.stdin);
  else child.stdin.end();
  child.stdin.on('error', () => undefined);
  response.once('close', () => child.kill());

  let head = Buffer.alloc(0);
  const readHead = (chunk: Buffer) => {
    head = Buffer.concat([head, chunk]);
    const end = head.indexOf('\r\n\r\n');
    if (end < 0) return;
    child.stdout.off('data', readHead);
    for (const line of head.subarray(0, end).toString('latin1').split('\r\n')) {
      const [name = '', ...value] = line.split(':');
      if (name.toLowerCase() === 'status') response.statusCode = Number.parseInt(value.join(':'), 10);
      else response.setHeader(name, value.join(':').trim());
    }
    response.write(head.subarray(end + 4));
    child.stdout.pipe(response);
  };
  child.stdout.on('data', readHead);
  return child;
}

function isStream(body: unknown): body is NodeJS.ReadableStream {
  return typeof body === 'object' && body !== null && 'pipe' in body;
}
