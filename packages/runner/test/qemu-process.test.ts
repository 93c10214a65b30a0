import { expect, test } from 'vitest';
import { QemuProcess } from '../src/isolation/vm/qemu-process.ts';

test('what a process complained about last is known when its end is told', async () => {
  const qemu = new QemuProcess(['sh', '-c', 'echo the reason >&2; exit 3'], 3, []);
  // Its end and its words are both there when they are looked at, as on a host that has other things to do.
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 300);
  expect(await qemu.ended).toEqual({ code: 3, signal: null });
  expect(qemu.errors).toBe('the reason');
  await qemu.kill();
});

test('the end is told soon, whoever else has its output open', async () => {
  const qemu = new QemuProcess(['sh', '-c', 'sleep 3 & exit 0'], 3, []);
  const start = performance.now();
  await qemu.ended;
  expect(performance.now() - start).toBeLessThan(2_000);
  await qemu.kill();
});
