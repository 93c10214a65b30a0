import type { z } from 'zod';
import { badRequest } from './errors.ts';

/** A part of a call as its schema has it. Throws 400 with the name of what is wrong. */
export function parse<T>(where: 'path' | 'query' | 'body', schema: z.ZodType<T>, value: unknown): T {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  const place = issue && issue.path.length > 0 ? ` at "${issue.path.join('.')}"` : '';
  throw badRequest(`Bad Request: invalid ${where}${place}: ${issue?.message}`);
}

/** A body that is JSON, or empty. Throws 400. */
export function parseJson(text: string): unknown {
  if (text === '') return {};
  try {
    return JSON.parse(text);
  } catch {
    throw badRequest('Bad Request: the body is not JSON.');
  }
}
