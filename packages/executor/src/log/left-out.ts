import type { LeftOut } from '@slipway/core';

const newline = 0x0a;

export const nothingLeftOut: LeftOut = { lines: 0, bytes: 0 };

/** Bytes of which every line that ends in them is left out. */
export function leftOutOf(bytes: Buffer): LeftOut {
  let lines = 0;
  // A search for each newline would take longer where lines are short.
  for (let at = 0; at < bytes.length; at += 1) if (bytes[at] === newline) lines += 1;
  return { lines, bytes: bytes.length };
}

export function sumOf(one: LeftOut, other: LeftOut): LeftOut {
  return { lines: one.lines + other.lines, bytes: one.bytes + other.bytes };
}
