import { createCipheriv, createDecipheriv, hkdfSync, randomBytes } from 'node:crypto';

const formatVersion = 1;
const nonceBytes = 12;
const tagBytes = 16;

/** The ciphertext is not one of this owner and purpose, or was changed. */
export class AuthenticationFailed extends Error {
  override readonly name = 'AuthenticationFailed';

  constructor() {
    super('Message authentication failed: this ciphertext was not made for this stack.');
  }
}

/**
 * Encrypts for one owner (a stack, a run) and one purpose: AES-256-GCM under a key derived from the master key
 * (HKDF-SHA-256), bound to both. What is sealed is a version byte, the nonce, the ciphertext and the tag.
 */
export class Seal {
  readonly #key: Buffer;
  readonly #associatedData: Buffer;

  constructor(masterKey: Buffer, ownerId: string, purpose: string) {
    this.#key = Buffer.from(hkdfSync('sha256', masterKey, ownerId, `slipway/${purpose}`, 32));
    this.#associatedData = Buffer.from(`${formatVersion}/${ownerId}/${purpose}`);
  }

  seal(plaintext: Buffer): Buffer {
    const nonce = randomBytes(nonceBytes);
    const cipher = createCipheriv('aes-256-gcm', this.#key, nonce);
    cipher.setAAD(this.#associatedData);
    return Buffer.concat([
      Buffer.of(formatVersion),
      nonce,
      cipher.update(plaintext),
      cipher.final(),
      cipher.getAuthTag(),
    ]);
  }

  /** Throws `AuthenticationFailed` for anything that it did not seal. */
  open(sealed: Buffer): Buffer {
    if (sealed[0] !== formatVersion || sealed.length < 1 + nonceBytes + tagBytes)
      throw new AuthenticationFailed();
    const nonce = sealed.subarray(1, 1 + nonceBytes);
    const decipher = createDecipheriv('aes-256-gcm', this.#key, nonce);
    decipher.setAAD(this.#associatedData);
    decipher.setAuthTag(sealed.subarray(sealed.length - tagBytes));
    try {
      return Buffer.concat([decipher.update(sealed.subarray(1 + nonceBytes, -tagBytes)), decipher.final()]);
    } catch {
      throw new AuthenticationFailed();
    }
  }
}
