import { expect, test } from 'vitest';
import { QemuProcess } from '../src/isolation/vm/qemu-process.ts';

test('what a process complained about last is known when its end is told', async () => {
  // The words come after the end, as they may when both are read on a host that has other things to do.
  const qemu = new QemuProcess(['sh', '-c', '(sleep 0.2; echo the reason >&2) & exit 3'], 3, []);
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
