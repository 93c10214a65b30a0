import { expect, test } from 'vitest';
import { destruction } from '../src/isolation/destruction.ts';

test('a sandbox is destroyed once, however often that is asked for, and the same is answered', async () => {
  let attempts = 0;
  const destroy = destruction(async () => {
    attempts += 1;
  });
  const [proof, again] = await Promise.all([destroy(), destroy()]);
  expect(proof).toMatchObject({ processesReaped: true, nothingLeft: true });
  expect(again).toBe(proof);
  expect(await destroy()).toBe(proof);
  expect(attempts).toBe(1);
});

test('what could not be destroyed is tried again by whoever asks again, and proves nothing before', async () => {
  let attempts = 0;
  const destroy = destruction(async () => {
    attempts += 1;
    if (attempts === 1) throw new Error('a process does not end');
  });
  await expect(Promise.all([destroy(), destroy()])).rejects.toThrow('a process does not end');
  expect(attempts).toBe(1);
  expect(await destroy()).toMatchObject({ nothingLeft: true });
  expect(attempts).toBe(2);
});
