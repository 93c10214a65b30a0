import Fastify, {
  type FastifyInstance,
  type FastifyReply,
  type FastifyRequest,
  type FastifyServerOptions,
  LogController,
} from 'fastify';
import { databaseFailure } from '../database/failures.ts';
import { contentTooLarge, HttpError } from './errors.ts';

/** Largest body after decompression: a state document of 20 MB fits several times. */
const maximumBodyBytes = 64 * 1024 * 1024;

/** How long a client may take. Answers may take as long as they like: a runner waits half a minute for a run. */
export interface ClientTimeouts {
  /** To send the head of a call. */
  readonly headMilliseconds: number;
  /** To send a call, body and all: the largest one at 220 kB/s. */
  readonly callMilliseconds: number;
  /** To send on what nobody reads, after an answer that did not wait for the body. */
  readonly unreadMilliseconds: number;
  /** How often slow clients are looked for. */
  readonly lookMilliseconds: number;
}

const clientTimeouts: ClientTimeouts = {
  headMilliseconds: 20_000,
  callMilliseconds: 300_000,
  unreadMilliseconds: 10_000,
  lookMilliseconds: 5_000,
};

export interface AppOptions {
  readonly logger: FastifyServerOptions['logger'];
  readonly tls?: { readonly certificate: string; readonly key: string } | undefined;
  /** Others than the usual, for a test that wants to see them pass. */
  readonly timeouts?: ClientTimeouts;
}

/** The HTTP server without routes: bodies as they are received, bounded, and errors as the CLI reads them. */
export function createApp(options: AppOptions): FastifyInstance {
  const { tls, timeouts = clientTimeouts } = options;
  const patience = {
    headersTimeout: timeouts.headMilliseconds,
    connectionsCheckingInterval: timeouts.lookMilliseconds,
  };
  const app = Fastify({
    logger: options.logger ?? false,
    logController: new LogController({ disableRequestLogging: true }),
    bodyLimit: maximumBodyBytes,
    routerOptions: { maxParamLength: 200 },
    requestTimeout: timeouts.callMilliseconds,
    ...(tls ? { https: { ...patience, cert: tls.certificate, key: tls.key } } : { http: patience }),
  }) as unknown as FastifyInstance;

  app.removeAllContentTypeParsers();
  app.addContentTypeParser('*', { parseAs: 'buffer' }, (_request, body, done) => done(null, body));

  app.setNotFoundHandler(answerNotFound);
  // Before the body is read: there is nobody to read it for.
  app.addHook('onRequest', async (request, reply) => {
    if (request.is404) return answerNotFound(request, reply);
  });
  app.addHook('onResponse', async ({ raw }) => {
    if (raw.complete) return;
    const cutOff = () => {
      if (!raw.complete) raw.destroy();
    };
    setTimeout(cutOff, timeouts.unreadMilliseconds).unref();
  });
  app.setErrorHandler((error: Error & { statusCode?: number; code?: string }, request, reply) => {
    const expected = error instanceof HttpError ? error : databaseFailure(error);
    const status = expected?.status ?? statusOf(error);
    // What ails the database is told once, by who watches it.
    if (status >= 500 && !expected) request.log.error({ err: error, url: request.url }, 'a call failed');
    const message = expected?.message ?? messageOf(error, status, request);
    reply.code(status).send({ code: status, message });
  });
  return app;
}

function answerNotFound(request: FastifyRequest, reply: FastifyReply): FastifyReply {
  const message = `Not Found: ${request.method} ${request.url.split('?')[0]}`;
  return reply.code(404).send({ code: 404, message });
}

function messageOf(error: Error & { code?: string }, status: number, request: FastifyRequest): string {
  if (status >= 500) return 'Internal Server Error: see the log of the control plane.';
  if (error.code !== 'FST_ERR_CTP_BODY_TOO_LARGE') return error.message;
  return contentTooLarge('the body of this call', request.routeOptions.bodyLimit).message;
}

function statusOf(error: { statusCode?: number; code?: string }): number {
  // PostgreSQL stores no U+0000 in text, and no \u0000 in jsonb.
  if (error.code === '22021' || error.code === '22P05') return 400;
  return error.statusCode ?? 500;
}
