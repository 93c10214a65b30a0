import { randomBytes, randomUUID } from 'node:crypto';
import { expect, test } from 'vitest';
import { AuthenticationFailed, openForStack, sealForStack } from '../src/secrets/index.ts';

const masterKey = randomBytes(32);
const stackId = randomUUID();
const plaintext = Buffer.from('canary', 'utf8');
const sealed = sealForStack(masterKey, stackId, 'state', plaintext);

test('what is sealed for a stack opens for it, an empty text too', () => {
  expect(openForStack(masterKey, stackId, 'state', sealed)).toEqual(plaintext);
  const empty = sealForStack(masterKey, stackId, 'state', Buffer.alloc(0));
  expect(openForStack(masterKey, stackId, 'state', empty)).toHaveLength(0);
});

test('the plaintext cannot be seen, and the same text looks different each time', () => {
  expect(sealed.includes(plaintext)).toBe(false);
  expect(sealForStack(masterKey, stackId, 'state', plaintext)).not.toEqual(sealed);
});

test.each([
  ['another stack', () => openForStack(masterKey, randomUUID(), 'state', sealed)],
  ['another purpose', () => openForStack(masterKey, stackId, 'deployment', sealed)],
  ['another master key', () => openForStack(randomBytes(32), stackId, 'state', sealed)],
])('it does not open for %s', (_what, open) => {
  expect(open).toThrow(AuthenticationFailed);
});

test('each changed bit and each missing end is noticed', () => {
  for (let index = 0; index < sealed.length; index += 1) {
    const changed = Buffer.from(sealed);
    changed.writeUInt8(changed.readUInt8(index) ^ 1, index);
    expect(() => openForStack(masterKey, stackId, 'state', changed)).toThrow(AuthenticationFailed);
    const cut = sealed.subarray(0, index);
    expect(() => openForStack(masterKey, stackId, 'state', cut)).toThrow(AuthenticationFailed);
  }
});
