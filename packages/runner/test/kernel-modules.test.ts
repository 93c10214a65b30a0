import { expect, test } from 'vitest';
import { withoutSignature } from '../src/guest/kernel-modules.ts';

const module = Buffer.from('\x7fELF and the rest of a module');
const mark = Buffer.from('~Module signature appended~\n');

/** As the kernel's scripts/sign-file.c writes it: the signature, eight bytes, its length, the mark. */
function signed(signature: Buffer): Buffer {
  const length = Buffer.alloc(4);
  length.writeUInt32BE(signature.length);
  return Buffer.concat([module, signature, Buffer.from([0, 0, 2, 0, 0, 0, 0, 0]), length, mark]);
}

test('a kernel module is booted without the signature at its end', () => {
  expect(withoutSignature(signed(Buffer.alloc(681, 1)))).toEqual(module);
});

test('a kernel module that has no signature stays as it is', () => {
  expect(withoutSignature(module)).toEqual(module);
  expect(withoutSignature(mark)).toEqual(mark);
});
