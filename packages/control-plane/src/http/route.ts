import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { z } from 'zod';
import type { ControlPlane } from '../control-plane.ts';
import type { Principal } from '../identity/index.ts';
import { authenticate, bearerOf } from './authentication.ts';
import { badRequest, unauthorized } from './errors.ts';

/**
 * Which credential a route asks for.
 * - `public`: none.
 * - `user`: an access token of a user (`Authorization: token …`).
 * - `user-or-job`: that, or the job token of a run; the handler checks that the stack is the run's own.
 * - `pool`, `lease`, `update`: the credential of that scheme; the slice that owns it checks it.
 */
export type Access = 'public' | 'user' | 'user-or-job' | 'pool' | 'lease' | 'update';

type PrincipalFor<A extends Access> = A extends 'user'
  ? Extract<Principal, { kind: 'user' }>
  : A extends 'user-or-job'
    ? Principal
    : undefined;

export interface Call<A extends Access, Params, Query, Body> {
  readonly params: Params;
  readonly query: Query;
  readonly body: Body;
  readonly principal: PrincipalFor<A>;
  /** The token of a `pool`, `lease` or `update` route; empty otherwise. */
  readonly bearer: string;
  /** The body as it was received (after decompression), for documents that must be kept to the letter. */
  readonly bodyText: string;
  readonly request: FastifyRequest;
  readonly reply: FastifyReply;
}

export interface RouteDefinition<A extends Access, Params, Query, Body> {
  readonly method: 'GET' | 'HEAD' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  readonly path: string;
  readonly access: A;
  readonly params?: z.ZodType<Params>;
  readonly query?: z.ZodType<Query>;
  /** A schema for JSON bodies. Without one the body is not parsed: use `bodyText`. */
  readonly body?: z.ZodType<Body>;
  /** Status of the answer when the handler sets none; 200, or 204 when the handler answers undefined. */
  readonly status?: number;
}

/** Runners send nothing larger: a batch of log lines has half a MiB. */
const maximumRunnerBodyBytes = 8 * 1024 * 1024;

/**
 * Declares one route: the credential is checked first, before the body is read (that of `pool`, `lease` and `update` is
 * only looked for then, and the slice checks it), then params, query and body are parsed (400 with the name of
 * what is wrong), then the handler answers a value that becomes JSON.
 */
export function route<A extends Access, Params = unknown, Query = unknown, Body = undefined>(
  app: FastifyInstance,
  controlPlane: ControlPlane,
  definition: RouteDefinition<A, Params, Query, Body>,
  handler: (call: Call<A, Params, Query, Body>) => Promise<unknown>,
): void {
  const { access } = definition;
  const principals = new WeakMap<FastifyRequest, PrincipalFor<A>>();
  app.route({
    method: definition.method,
    url: definition.path,
    exposeHeadRoute: false,
    ...((access === 'pool' || access === 'lease') && { bodyLimit: maximumRunnerBodyBytes }),
    // Bodies are kept in memory: not for somebody who has no credential.
    onRequest: async (request) => {
      bearerFor(access, request);
      const principal = await principalFor(controlPlane, access, request);
      if (principal) principals.set(request, principal);
    },
    handler: async (request, reply) => {
      const bodyText = typeof request.body === 'string' ? request.body : '';
      const call = {
        principal: principals.get(request) as PrincipalFor<A>,
        bearer: bearerFor(access, request),
        params: parse('path', definition.params, request.params),
        query: parse('query', definition.query, request.query),
        body: definition.body ? parse('body', definition.body, parseJson(bodyText)) : (undefined as Body),
        bodyText,
        request,
        reply,
      };
      const answer = await controlPlane.callsUnderWay.track(handler(call));
      if (reply.sent) return reply;
      if (answer === undefined) return reply.code(definition.status ?? 204).send();
      return reply.code(definition.status ?? 200).send(answer);
    },
  });
}

async function principalFor<A extends Access>(
  controlPlane: ControlPlane,
  access: A,
  request: FastifyRequest,
): Promise<PrincipalFor<A>> {
  if (access !== 'user' && access !== 'user-or-job') return undefined as PrincipalFor<A>;
  const principal = await authenticate(controlPlane.db, request);
  if (access === 'user' && principal.kind !== 'user') {
    throw unauthorized('A job token does not open this.');
  }
  return principal as PrincipalFor<A>;
}

function bearerFor(access: Access, request: FastifyRequest): string {
  switch (access) {
    case 'pool':
      return bearerOf(request, 'token');
    case 'lease':
      return bearerOf(request, 'lease');
    case 'update':
      return bearerOf(request, 'update-token');
    default:
      return '';
  }
}

function parse<T>(where: string, schema: z.ZodType<T> | undefined, value: unknown): T {
  if (!schema) return value as T;
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  const place = issue && issue.path.length > 0 ? ` at "${issue.path.join('.')}"` : '';
  throw badRequest(`Bad Request: invalid ${where}${place}: ${issue?.message}`);
}

function parseJson(text: string): unknown {
  if (text === '') return {};
  try {
    return JSON.parse(text);
  } catch {
    throw badRequest('Bad Request: the body is not JSON.');
  }
}
