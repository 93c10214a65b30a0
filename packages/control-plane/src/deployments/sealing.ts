import type { SecretInput, StoredValue } from '@slipway/core';
import { badRequest } from '../http/errors.ts';
import { openForStack, sealForStack } from '../secrets/index.ts';

const purpose = 'deployment-settings';
const tokenPurpose = 'job-token';

/** Seals and opens the secrets of one stack's deployments. What was sealed for another stack is refused. */
export class DeploymentSecrets {
  readonly #masterKey: Buffer;
  readonly #stackId: string;

  constructor(masterKey: Buffer, stackId: string) {
    this.#masterKey = masterKey;
    this.#stackId = stackId;
  }

  /** A value as it is kept. A ciphertext is opened first, so that only what this server sealed gets in. Throws 400. */
  readonly store = (input: SecretInput): StoredValue => {
    switch (input.kind) {
      case 'plain':
        return input.value;
      case 'secret':
        return { ciphertext: this.#seal(purpose, input.value).toString('base64') };
      case 'ciphertext':
        try {
          this.open(input);
        } catch {
          throw badRequest(
            'Bad Request: Message authentication failed: a ciphertext in these settings was not made for this stack.',
          );
        }
        return { ciphertext: input.ciphertext };
    }
  };

  readonly open = ({ ciphertext }: { readonly ciphertext: string }): string =>
    openForStack(this.#masterKey, this.#stackId, purpose, Buffer.from(ciphertext, 'base64')).toString('utf8');

  sealToken(token: string): Buffer {
    return this.#seal(tokenPurpose, token);
  }

  openToken(sealed: Buffer): string {
    return openForStack(this.#masterKey, this.#stackId, tokenPurpose, sealed).toString('utf8');
  }

  #seal(of: string, text: string): Buffer {
    return sealForStack(this.#masterKey, this.#stackId, of, Buffer.from(text, 'utf8'));
  }
}
