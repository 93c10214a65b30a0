import { randomInt } from 'node:crypto';
import { type Duplex, duplexPair } from 'node:stream';
import { setImmediate as turn } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { ExecutorStream } from '../src/isolation/vm/executor-stream.ts';

const mark = 'abab-mark';

/** What a reader gets when the port brings these pieces, and whether that was the end. */
async function readAll(pieces: readonly string[]): Promise<{ text: string; hasEnded: boolean }> {
  const [near, port] = duplexPair();
  const stream = new ExecutorStream(near, mark);
  let text = '';
  let hasEnded = false;
  stream.on('data', (chunk: Buffer) => {
    text += chunk.toString('latin1');
  });
  stream.on('end', () => {
    hasEnded = true;
  });
  for (const piece of pieces) await written(port, piece);
  await turn();
  stream.destroy();
  return { text, hasEnded };
}

async function written(port: Duplex, piece: string): Promise<void> {
  await new Promise((resolve) => port.write(Buffer.from(piece, 'latin1'), resolve));
  await turn();
}

test('the stream ends at the mark, in whatever pieces it comes, with all that came before and nothing after', async () => {
  // Beginnings of the mark that are none, over and over.
  const before = 'abab-mar|ab|aababab-|abab-mabab-';
  const whole = `${before}${mark}of nobody`;
  expect(await readAll([whole])).toEqual({ text: before, hasEnded: true });
  expect(await readAll([...whole])).toEqual({ text: before, hasEnded: true });
  for (let round = 0; round < 50; round += 1) {
    const pieces: string[] = [];
    for (let rest = whole; rest !== ''; ) {
      const length = randomInt(1, 12);
      pieces.push(rest.slice(0, length));
      rest = rest.slice(length);
    }
    expect(await readAll(pieces), pieces.join('·')).toEqual({ text: before, hasEnded: true });
  }
});

test('without the mark the stream goes on, and nothing but a beginning of the mark is held', async () => {
  expect(await readAll(['some bytes', ' and more'])).toEqual({
    text: 'some bytes and more',
    hasEnded: false,
  });
  expect(await readAll(['some bytes, ab'])).toEqual({ text: 'some bytes, ', hasEnded: false });
});

test('a port that ends without the mark ends the stream, with what was held', async () => {
  const [near, port] = duplexPair();
  const stream = new ExecutorStream(near, mark);
  port.end('cut off: abab-m');
  const chunks = await stream.toArray();
  expect(Buffer.concat(chunks).toString()).toBe('cut off: abab-m');
});

test('nothing is read from the port while nobody reads the stream', async () => {
  const [near, port] = duplexPair();
  const stream = new ExecutorStream(near, mark);
  await turn();
  const piece = Buffer.alloc(16 * 1024, 'x');
  let pieces = 0;
  while (port.write(piece) && pieces < 100) pieces += 1;
  await turn();
  // What the two streams hold by themselves.
  expect(pieces).toBeLessThan(10);
  stream.resume();
  await new Promise((resolve) => port.once('drain', resolve));
  stream.destroy();
});
