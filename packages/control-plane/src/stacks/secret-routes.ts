import type { FastifyInstance } from 'fastify';
import { z } from 'zod';
import type { ControlPlane } from '../control-plane.ts';
import { badRequest } from '../http/errors.ts';
import { route } from '../http/route.ts';
import { userOrJobToken } from '../identity/index.ts';
import { AuthenticationFailed, type Seal, secretTexts } from '../secrets/index.ts';
import { openStack, stackParams, stackPath } from './stack.ts';
import { stateSeal } from './state-seal.ts';

/**
 * Secrets of configuration and state: the service secrets provider of the CLI. What a run gets or gives in clear is
 * hidden, before it is answered, in all that is received about the run from then on, in whatever form it is printed.
 */
export function secretRoutes(app: FastifyInstance, controlPlane: ControlPlane): void {
  const { db, masterKey, runSecrets } = controlPlane;

  const post = <Body>(
    name: string,
    body: z.ZodType<Body>,
    answer: (cryptor: Cryptor, body: Body) => object | undefined,
  ) =>
    route(
      app,
      controlPlane,
      { method: 'POST', path: `${stackPath}/${name}`, access: userOrJobToken, params: stackParams, body },
      async (call) => {
        const stack = await openStack(controlPlane, call.principal, call.params);
        const cryptor = new Cryptor(stateSeal(masterKey, stack.id));
        const answered = answer(cryptor, call.body);
        if (call.principal.kind === 'job') await runSecrets.learn(db, call.principal.runId, cryptor.texts());
        return answered;
      },
    );

  post('encrypt', z.object({ plaintext: z.base64() }), (cryptor, { plaintext }) => ({
    ciphertext: cryptor.encrypt(plaintext),
  }));
  post('decrypt', z.object({ ciphertext: z.base64() }), (cryptor, { ciphertext }) => ({
    plaintext: cryptor.decrypt(ciphertext),
  }));
  post(
    'batch-encrypt',
    z.object({ plaintexts: z.array(z.base64()).nullish() }),
    (cryptor, { plaintexts }) => ({
      ciphertexts: (plaintexts ?? []).map((plaintext) => cryptor.encrypt(plaintext)),
    }),
  );
  // Every ciphertext is answered, under exactly the text that was sent: the CLI panics where one is missing.
  post(
    'batch-decrypt',
    z.object({ ciphertexts: z.array(z.base64()).nullish() }),
    (cryptor, { ciphertexts }) => ({
      plaintexts: Object.fromEntries(
        (ciphertexts ?? []).map((ciphertext) => [ciphertext, cryptor.decrypt(ciphertext)]),
      ),
    }),
  );
  for (const name of ['decrypt/log-decryption', 'decrypt/log-batch-decryption']) {
    post(name, z.unknown(), () => undefined);
  }
}

/** Encrypts and decrypts for one call, and remembers what was in clear. Values are base64, as on the wire. */
class Cryptor {
  readonly #seal: Seal;
  readonly #plaintexts: Buffer[] = [];

  constructor(seal: Seal) {
    this.#seal = seal;
  }

  encrypt(base64: string): string {
    const plaintext = Buffer.from(base64, 'base64');
    this.#plaintexts.push(plaintext);
    return this.#seal.seal(plaintext).toString('base64');
  }

  /** Throws 400 for a ciphertext of another stack. */
  decrypt(base64: string): string {
    try {
      const plaintext = this.#seal.open(Buffer.from(base64, 'base64'));
      this.#plaintexts.push(plaintext);
      return plaintext.toString('base64');
    } catch (error) {
      if (error instanceof AuthenticationFailed) throw badRequest(`Bad Request: ${error.message}`);
      throw error;
    }
  }

  /** The secrets in all that was in clear. */
  texts(): ReadonlySet<string> {
    const texts = new Set<string>();
    for (const plaintext of this.#plaintexts)
      for (const text of secretTexts(plaintext.toString('utf8'))) texts.add(text);
    return texts;
  }
}
