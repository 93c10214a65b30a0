import { expect, test } from 'vitest';
import * as z from 'zod';
import { server, useServer } from './use-server.ts';

useServer();

test('every ciphertext is answered under the text that was sent; one of another stack is refused', async () => {
  const stack = await server.makeStack('ciphertexts');
  const other = await server.makeStack('other-ciphertexts');
  const plaintexts = ['one', '', '\u0000☃'].map((text) => Buffer.from(text).toString('base64'));
  const sealed = z.object({ ciphertexts: z.array(z.string()) });
  const { ciphertexts } = await server.expectCall(sealed, 200, 'POST', `${stack}/batch-encrypt`, {
    plaintexts,
  });
  const { body } = await server.call('POST', `${stack}/batch-decrypt`, { ciphertexts });
  expect(body).toEqual({
    plaintexts: Object.fromEntries(ciphertexts.map((ciphertext, n) => [ciphertext, plaintexts[n]])),
  });
  expect(await server.call('POST', `${other}/batch-decrypt`, { ciphertexts })).toEqual({
    status: 400,
    body: {
      code: 400,
      message: 'Bad Request: Message authentication failed: this ciphertext was not made for this stack.',
    },
  });
});
