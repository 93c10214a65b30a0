import { duplexPair } from 'node:stream';
import { expect, test } from 'vitest';
import { InitChannel } from '../src/isolation/vm/init-channel.ts';

/** A guest that has booted, and what it is told. The clock is that of the test. */
function bootedGuest(silenceSeconds: number) {
  const [near, far] = duplexPair();
  const clock = { milliseconds: 1_000_000 };
  let told = '';
  far.on('data', (chunk: Buffer) => {
    told += chunk.toString();
  });
  const channel = new InitChannel(near, {
    silenceSeconds,
    now: () => clock.milliseconds,
    heard: () => {},
    violated: (what) => expect.unreachable(what),
  });
  channel.keepTellingTime();
  return {
    clock,
    write: (event: string) => far.write(`${event}\n`),
    lastTold: () => expect.poll(() => told.trim().split('\n').at(-1), { interval: 5, timeout: 5_000 }),
    [Symbol.dispose]: () => channel.close(),
  };
}

test('a guest is told the time when it has booted and again when its container has started', async () => {
  // The next tick would come after half a minute.
  using guest = bootedGuest(120);
  await guest.lastTold().toBe('time 1000.000');
  guest.clock.milliseconds = 1_000_500;
  guest.write('{"event":"started"}');
  await guest.lastTold().toBe('time 1000.500');
});

test('a guest is told the time again and again, also when that goes back', async () => {
  using guest = bootedGuest(0.2);
  for (const seconds of [1000, 1001, 999, 5000]) {
    guest.clock.milliseconds = seconds * 1000;
    await guest.lastTold().toBe(`time ${seconds}.000`);
  }
});
