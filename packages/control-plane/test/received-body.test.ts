import fastify from 'fastify';
import { expect, test } from 'vitest';
import { textBody } from '../src/http/received-body.ts';

test('a body is read once: it does not pass for an empty one the next time', async () => {
  const app = fastify();
  app.addContentTypeParser('*', { parseAs: 'buffer' }, (_request, body, done) => done(null, body));
  app.post('/', async (request) => [(await textBody(request)).length, await textBody(request)]);
  const payload = 'x'.repeat(100_000);
  const answer = await app.inject({ method: 'POST', url: '/', headers: { 'content-type': 'a/b' }, payload });
  expect(answer.json()).toMatchObject({ statusCode: 500, message: 'The body was read before.' });
  await app.close();
});
