/**
 * Gives the memory of a buffer that nobody needs any more back at once. The garbage collector would wait until there are
 * 64 MiB of it: buffers take next to nothing of what it watches.
 */
export function freeBuffer({ buffer, byteLength }: Buffer): void {
  // Small buffers are parts of a memory that others are in, too.
  if (buffer instanceof ArrayBuffer && buffer.byteLength === byteLength) buffer.transfer(0);
}
