import { setImmediate as turn } from 'node:timers/promises';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { BootWatch } from '../src/isolation/vm/boot-watch.ts';
import type { Acceleration } from '../src/isolation/vm/qemu-command.ts';

const emulation: Acceleration = { kind: 'emulation', tscKiloHertz: 2_000_000 };
const patienceMilliseconds = 20;
beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
});
afterEach(() => {
  vi.useRealTimers();
});

const right = { timerHertz: 62_000_000 };
const wrong = { timerHertz: 90_000_000 };

/** A watch, and how often it has had the machine reset. */
function watchOf(acceleration: Acceleration) {
  const given = { resets: 0, givenUp: '' };
  const execute = async (command: string) => {
    if (command === 'system_reset') given.resets += 1;
  };
  const givenUp = (message: string) => {
    given.givenUp = message;
  };
  return { given, watch: new BootWatch({ acceleration, qmp: { execute }, patienceMilliseconds, givenUp }) };
}

test('with hardware acceleration every boot will do, however long it takes', () => {
  const { given, watch } = watchOf({ kind: 'kvm' });
  vi.advanceTimersByTime(patienceMilliseconds * 10);
  expect(watch.hear({ timerHertz: 0 })).toBe(true);
  expect(given.resets).toBe(0);
});

test('a machine is fit once: what it tells of further boots changes nothing', () => {
  const { given, watch } = watchOf(emulation);
  expect(watch.hear(right)).toBe(true);
  expect([watch.hear(right), watch.hear(wrong)]).toEqual([false, false]);
  expect(given.resets).toBe(0);
});

test('what a guest has told before it was reset is not taken for the next boot', async () => {
  const { given, watch } = watchOf(emulation);
  expect(watch.hear(wrong)).toBe(false);
  expect(given.resets).toBe(1);
  expect(watch.hear(right)).toBe(false);
  watch.wasReset();
  expect(watch.hear(right)).toBe(false);
  await turn();
  expect(watch.hear(right)).toBe(true);
});

test('a machine that says nothing is reset, and has twice the time then; not once it was destroyed', () => {
  const { given, watch } = watchOf(emulation);
  const resetsAfter = (milliseconds: number) => {
    vi.advanceTimersByTime(milliseconds);
    return given.resets;
  };
  expect(resetsAfter(patienceMilliseconds - 1)).toBe(0);
  expect(resetsAfter(1)).toBe(1);
  expect(resetsAfter(2 * patienceMilliseconds - 1)).toBe(1);
  expect(resetsAfter(1)).toBe(2);
  watch.close();
  expect(resetsAfter(100 * patienceMilliseconds)).toBe(2);
});

test('four mistaken timers are enough', async () => {
  const { given, watch } = watchOf(emulation);
  for (let boot = 1; boot <= 4; boot += 1) {
    expect(given.givenUp).toBe('');
    watch.hear(wrong);
    watch.wasReset();
    await turn();
  }
  expect(given.givenUp).toContain('1.44 times as fast as it is, and was wrong in 3 boots before');
  expect(given.resets).toBe(3);
});
