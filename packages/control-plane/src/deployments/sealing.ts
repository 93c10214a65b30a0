import type { SecretInput, StoredValue } from '@slipway/core';
import { badRequest } from '../http/errors.ts';
import { Seal } from '../secrets/index.ts';

/** Seals and opens the secrets of one stack's deployments. What was sealed for another stack is refused. */
export class DeploymentSecrets {
  readonly #settings: Seal;
  readonly #tokens: Seal;

  constructor(masterKey: Buffer, stackId: string) {
    this.#settings = new Seal(masterKey, stackId, 'deployment-settings');
    this.#tokens = new Seal(masterKey, stackId, 'job-token');
  }

  /** A value as it is kept. A ciphertext is opened first, so that only what this server sealed gets in. Throws 400. */
  readonly store = (input: SecretInput): StoredValue => {
    switch (input.kind) {
      case 'plain':
        return input.value;
      case 'secret':
        return { ciphertext: this.#settings.seal(Buffer.from(input.value, 'utf8')).toString('base64') };
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
    this.#settings.open(Buffer.from(ciphertext, 'base64')).toString('utf8');

  sealToken(token: string): Buffer {
    return this.#tokens.seal(Buffer.from(token, 'utf8'));
  }

  openToken(sealed: Buffer): string {
    return this.#tokens.open(sealed).toString('utf8');
  }
}
