import { createCipheriv, createDecipheriv, hkdfSync, randomBytes } from 'node:crypto';

const formatVersion = 1;
const nonceBytes = 12;
const tagBytes = 16;

/** The ciphertext is not one of this stack and purpose, or was changed. */
export class AuthenticationFailed extends Error {
  override readonly name = 'AuthenticationFailed';

  constructor() {
    super('Message authentication failed: this ciphertext was not made for this stack.');
  }
}

/**
 * Encrypts for one stack and one purpose: AES-256-GCM under a key derived from the master key (HKDF-SHA-256), bound to
 * both. The result is a version byte, the nonce, the ciphertext and the tag.
 */
export function sealForStack(masterKey: Buffer, stackId: string, purpose: string, plaintext: Buffer): Buffer {
  const nonce = randomBytes(nonceBytes);
  const cipher = createCipheriv('aes-256-gcm', stackKey(masterKey, stackId, purpose), nonce);
  cipher.setAAD(associatedData(stackId, purpose));
  return Buffer.concat([
    Buffer.of(formatVersion),
    nonce,
    cipher.update(plaintext),
    cipher.final(),
    cipher.getAuthTag(),
  ]);
}

/** Decrypts what `sealForStack` made. Throws `AuthenticationFailed` for anything else. */
export function openForStack(masterKey: Buffer, stackId: string, purpose: string, sealed: Buffer): Buffer {
  if (sealed[0] !== formatVersion || sealed.length < 1 + nonceBytes + tagBytes)
    throw new AuthenticationFailed();
  const nonce = sealed.subarray(1, 1 + nonceBytes);
  const decipher = createDecipheriv('aes-256-gcm', stackKey(masterKey, stackId, purpose), nonce);
  decipher.setAAD(associatedData(stackId, purpose));
  decipher.setAuthTag(sealed.subarray(sealed.length - tagBytes));
  try {
    return Buffer.concat([decipher.update(sealed.subarray(1 + nonceBytes, -tagBytes)), decipher.final()]);
  } catch {
    throw new AuthenticationFailed();
  }
}

function stackKey(masterKey: Buffer, stackId: string, purpose: string): Buffer {
  return Buffer.from(hkdfSync('sha256', masterKey, stackId, `slipway/${purpose}`, 32));
}

function associatedData(stackId: string, purpose: string): Buffer {
  return Buffer.from(`${formatVersion}/${stackId}/${purpose}`);
}
