import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { z } from 'zod';
import type { ControlPlane } from '../control-plane.ts';
import { askDatabase } from '../database/ask-database.ts';
import { type Access, bearerOf } from './access.ts';
import { parse, parseJson } from './parse.ts';
import { textBody } from './received-body.ts';

export interface Call<Principal, Params, Query, Body> {
  readonly params: Params;
  readonly query: Query;
  readonly body: Body;
  /** Whom the credential of the call stands for. */
  readonly principal: Principal;
  /** The credential itself; empty where none is asked for. */
  readonly bearer: string;
  /** The body as it was received (after decompression), for documents that must be kept to the letter. */
  readonly bodyText: string;
  readonly request: FastifyRequest;
  readonly reply: FastifyReply;
}

export interface RouteDefinition<Principal, Params, Query, Body> {
  readonly method: 'GET' | 'HEAD' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  readonly path: string;
  readonly access: Access<Principal>;
  readonly params?: z.ZodType<Params>;
  readonly query?: z.ZodType<Query>;
  /** A schema for JSON bodies. Without one the body is not parsed: use `bodyText`. */
  readonly body?: z.ZodType<Body>;
  /** False where the handler takes the body from the request itself, as it was received: `bodyText` is empty then. */
  readonly readsBody?: false;
  /** Largest body, where that is less than what the server takes at most. */
  readonly maximumBodyBytes?: number;
  /** Whether it brings or begins what has to be kept: refused (507) while the disk of the database is all but full. */
  readonly needsRoom?: true;
  /** Status of the answer when the handler sets none; 200, or 204 when the handler answers undefined. */
  readonly status?: number;
}

/**
 * Declares one route: the credential is looked up first, before the body is read; then params, query and body are
 * parsed (400 with the name of what is wrong), then the handler answers a value that becomes JSON.
 */
export function route<Principal, Params = unknown, Query = unknown, Body = undefined>(
  app: FastifyInstance,
  controlPlane: ControlPlane,
  definition: RouteDefinition<Principal, Params, Query, Body>,
  handler: (call: Call<Principal, Params, Query, Body>) => Promise<unknown>,
): void {
  const { access, maximumBodyBytes } = definition;
  const callers = new WeakMap<
    FastifyRequest,
    Pick<Call<Principal, Params, Query, Body>, 'principal' | 'bearer'>
  >();
  app.route({
    method: definition.method,
    url: definition.path,
    exposeHeadRoute: false,
    ...(maximumBodyBytes !== undefined && { bodyLimit: maximumBodyBytes }),
    // Bodies are kept in memory: not for somebody who has no credential.
    onRequest: async (request) => {
      const bearer = bearerOf(request, access.scheme);
      const lookUp = () => access.principalOf(controlPlane, bearer, request);
      const principal = await askDatabase(controlPlane.database, lookUp);
      callers.set(request, { principal, bearer });
      if (definition.needsRoom) await controlPlane.database.requireRoom();
    },
    handler: async (request, reply) => {
      const caller = callers.get(request);
      if (!caller) throw new Error(`Nobody looked up who calls ${definition.path}.`);
      const bodyText = definition.readsBody === false ? '' : await textBody(request);
      const call = {
        ...caller,
        params: definition.params
          ? parse('path', definition.params, request.params)
          : (request.params as Params),
        query: definition.query ? parse('query', definition.query, request.query) : (request.query as Query),
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
