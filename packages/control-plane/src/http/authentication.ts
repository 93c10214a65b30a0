import type { FastifyRequest } from 'fastify';
import type { Database } from '../database/database.ts';
import { findPrincipal, type Principal } from '../identity/index.ts';
import { unauthorized } from './errors.ts';

/** The token of `Authorization: <scheme> <token>`. Throws 401 when there is none of that scheme. */
export function bearerOf(request: FastifyRequest, scheme: 'token' | 'lease' | 'update-token'): string {
  const header = request.headers.authorization ?? '';
  const [given, token] = header.split(' ', 2);
  if (given?.toLowerCase() !== scheme || !token) {
    throw unauthorized(`Unauthorized: this call needs the header "Authorization: ${scheme} …".`);
  }
  return token;
}

/** Who calls, by access token. Throws 401. */
export async function authenticate(db: Database, request: FastifyRequest): Promise<Principal> {
  const principal = await findPrincipal(db, bearerOf(request, 'token'));
  if (!principal) throw unauthorized('Unauthorized: the access token is not known or has ended.');
  return principal;
}
