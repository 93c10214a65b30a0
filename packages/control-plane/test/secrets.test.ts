import { randomBytes, randomUUID } from 'node:crypto';
import { expect, test } from 'vitest';
import { AuthenticationFailed, Seal } from '../src/secrets/index.ts';

const masterKey = randomBytes(32);
const stackId = randomUUID();
const plaintext = Buffer.from('canary', 'utf8');
const seal = new Seal(masterKey, stackId, 'state');
const sealed = seal.seal(plaintext);

test('what is sealed for a stack opens for it, an empty text too', () => {
  expect(seal.open(sealed)).toEqual(plaintext);
  const empty = seal.seal(Buffer.alloc(0));
  expect(seal.open(empty)).toHaveLength(0);
});

test('the plaintext cannot be seen, and the same text looks different each time', () => {
  expect(sealed.includes(plaintext)).toBe(false);
  expect(seal.seal(plaintext)).not.toEqual(sealed);
});

test.each([
  ['another stack', () => new Seal(masterKey, randomUUID(), 'state').open(sealed)],
  ['another purpose', () => new Seal(masterKey, stackId, 'deployment').open(sealed)],
  ['another master key', () => new Seal(randomBytes(32), stackId, 'state').open(sealed)],
])('it does not open for %s', (_what, open) => {
  expect(open).toThrow(AuthenticationFailed);
});

test('each changed bit and each missing end is noticed', () => {
  for (let index = 0; index < sealed.length; index += 1) {
    const changed = Buffer.from(sealed);
    changed.writeUInt8(changed.readUInt8(index) ^ 1, index);
    expect(() => seal.open(changed)).toThrow(AuthenticationFailed);
    const cut = sealed.subarray(0, index);
    expect(() => seal.open(cut)).toThrow(AuthenticationFailed);
  }
});
