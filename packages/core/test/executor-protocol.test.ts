import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { describe, expect, test } from 'vitest';
import {
  encodeFrame,
  FrameDecoder,
  type FrameFromExecutor,
  frameFromExecutor,
  maximumFrameBytes,
  maximumLineCharacters,
  ProtocolViolation,
} from '../src/index.ts';
import { Random } from './random.ts';

const timestamp = Date.parse('2026-01-01T00:00:00Z');

function rawFrame(body: Buffer | string): Buffer {
  const bytes = Buffer.from(body);
  const header = Buffer.alloc(4);
  header.writeUInt32BE(bytes.length);
  return Buffer.concat([header, bytes]);
}

function decode(chunks: readonly Buffer[]): FrameFromExecutor[] {
  const decoder = new FrameDecoder(frameFromExecutor);
  return chunks.flatMap((chunk) => decoder.push(chunk));
}

test('frames arrive as they were sent, whatever the chunks', () => {
  const random = new Random(42);
  const frames: FrameFromExecutor[] = [{ type: 'ready' }];
  for (let index = 0; index < 200; index += 1) {
    const text = random.text('abc äöü€😀"\\\u0000\u001b', random.below(400)).toWellFormed();
    frames.push({ type: 'log', step: random.below(100), timestamp, lines: [text, ''] });
  }
  const bytes = Buffer.concat(frames.map(encodeFrame));
  for (const longest of [1, 3, 100, 5000, bytes.length]) {
    expect(decode(random.pieces<Buffer>(bytes, longest))).toEqual(frames);
  }
});

test.each([
  ['no line', []],
  ['two lines', ['a', 'b']],
])('a piece of a longer line comes alone: not with %s', (_what, lines) => {
  const frame = { type: 'log', step: 0, timestamp, piece: { line: 1, isLast: true } } as const;
  expect(decode([encodeFrame({ ...frame, lines: ['a'] })])).toEqual([{ ...frame, lines: ['a'] }]);
  expect(() => decode([encodeFrame({ ...frame, lines })])).toThrow(ProtocolViolation);
});

test('a frame that comes byte by byte takes no more memory than the frame', () => {
  const bytes = rawFrame(' '.repeat(maximumFrameBytes));
  const decoder = new FrameDecoder(frameFromExecutor);
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc');
  const memory = () => {
    collect();
    return process.memoryUsage().heapUsed + process.memoryUsage().external;
  };
  const before = memory();
  let most = 0;
  for (let index = 0; index < 500_000; index += 1) {
    // Memory of its own, as what is read from a socket.
    const byte = Buffer.allocUnsafeSlow(1);
    byte[0] = bytes[index] ?? 0;
    decoder.push(byte);
    if (index % 100_000 === 99_999) most = Math.max(most, memory() - before);
  }
  expect(most).toBeLessThan(8 * 1024 ** 2);
});

test('the longest log line fits in a frame, whatever its characters', () => {
  for (const character of ['\u0000', '€', '"']) {
    const text = character.repeat(maximumLineCharacters);
    const frame: FrameFromExecutor = { type: 'log', step: 0, timestamp, lines: [text] };
    expect(decode([encodeFrame(frame)])).toEqual([frame]);
  }
});

test('a frame over the maximum is refused by the sender', () => {
  const frame: FrameFromExecutor = { type: 'plan', steps: ['x'.repeat(maximumFrameBytes)] };
  expect(() => encodeFrame(frame)).toThrow(RangeError);
});

describe('what is not a frame ends the run with the cause protocol-violation:', () => {
  test.each([
    ['a length over the maximum, before its bytes arrive', Buffer.from([0x00, 0x10, 0x00, 0x01])],
    ['the greatest length', Buffer.from([0xff, 0xff, 0xff, 0xff])],
    ['an empty frame', rawFrame('')],
    ['text that is not JSON', rawFrame('{"type":"ready"')],
    ['bytes that are not UTF-8', rawFrame(Buffer.from([0x22, 0xff, 0x22]))],
    ['nesting without end', rawFrame('['.repeat(maximumFrameBytes))],
    ['an unknown type', rawFrame('{"type":"hello"}')],
    ['no object', rawFrame('null')],
    ['a step beyond the greatest', rawFrame('{"type":"step","step":100,"status":"running","timestamp":1}')],
    ['a timestamp that is none', rawFrame('{"type":"log","step":0,"timestamp":"now","lines":[]}')],
    [
      'a line that is too long',
      rawFrame(
        JSON.stringify({ type: 'log', step: 0, timestamp, lines: ['x'.repeat(maximumLineCharacters + 1)] }),
      ),
    ],
  ])('%s', (_name, bytes) => {
    expect(() => decode([bytes])).toThrow(ProtocolViolation);
  });

  test('random bytes', () => {
    const random = new Random(99);
    for (let round = 0; round < 500; round += 1) {
      const decoder = new FrameDecoder(frameFromExecutor);
      try {
        for (let chunk = 0; chunk < 20; chunk += 1) {
          const bytes = Uint8Array.from({ length: 1 + random.below(64) }, () => random.below(256));
          expect(decoder.push(Buffer.from(bytes))).toEqual([]);
        }
      } catch (error) {
        expect(error).toBeInstanceOf(ProtocolViolation);
      }
    }
  });
});

test('properties that the protocol does not know are dropped', () => {
  expect(decode([rawFrame('{"type":"ready","__proto__":{"x":1},"extra":true}')])).toEqual([
    { type: 'ready' },
  ]);
});
