import type { FastifyInstance } from 'fastify';
import { z } from 'zod';
import type { ControlPlane } from '../control-plane.ts';
import { badRequest } from '../http/errors.ts';
import { route } from '../http/route.ts';
import { userOrJobToken } from '../identity/index.ts';
import { AuthenticationFailed, openForStack, sealForStack } from '../secrets/index.ts';
import { openStack, stackParams, stackPath } from './stack.ts';

/** Secrets of configuration and state: the service secrets provider of the CLI. Values are base64 on the wire. */
export function secretRoutes(app: FastifyInstance, controlPlane: ControlPlane): void {
  const { masterKey } = controlPlane;
  const purpose = 'state';
  const seal = (stackId: string, plaintext: string) =>
    sealForStack(masterKey, stackId, purpose, Buffer.from(plaintext, 'base64')).toString('base64');
  const open = (stackId: string, ciphertext: string) => {
    try {
      return openForStack(masterKey, stackId, purpose, Buffer.from(ciphertext, 'base64')).toString('base64');
    } catch (error) {
      if (error instanceof AuthenticationFailed) throw badRequest(`Bad Request: ${error.message}`);
      throw error;
    }
  };
  const post = <Body>(
    name: string,
    body: z.ZodType<Body>,
    answer: (stackId: string, body: Body) => object | undefined,
  ) =>
    route(
      app,
      controlPlane,
      { method: 'POST', path: `${stackPath}/${name}`, access: userOrJobToken, params: stackParams, body },
      async (call) => answer((await openStack(controlPlane, call.principal, call.params)).id, call.body),
    );

  post('encrypt', z.object({ plaintext: z.base64() }), (stackId, { plaintext }) => ({
    ciphertext: seal(stackId, plaintext),
  }));
  post('decrypt', z.object({ ciphertext: z.base64() }), (stackId, { ciphertext }) => ({
    plaintext: open(stackId, ciphertext),
  }));
  post(
    'batch-encrypt',
    z.object({ plaintexts: z.array(z.base64()).nullish() }),
    (stackId, { plaintexts }) => ({
      ciphertexts: (plaintexts ?? []).map((plaintext) => seal(stackId, plaintext)),
    }),
  );
  // Every ciphertext is answered, under exactly the text that was sent: the CLI panics where one is missing.
  post(
    'batch-decrypt',
    z.object({ ciphertexts: z.array(z.base64()).nullish() }),
    (stackId, { ciphertexts }) => ({
      plaintexts: Object.fromEntries(
        (ciphertexts ?? []).map((ciphertext) => [ciphertext, open(stackId, ciphertext)]),
      ),
    }),
  );
  for (const name of ['decrypt/log-decryption', 'decrypt/log-batch-decryption']) {
    post(name, z.unknown(), () => undefined);
  }
}
