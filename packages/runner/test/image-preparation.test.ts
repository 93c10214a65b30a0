import { expect, test } from 'vitest';
import { ImageUnavailableError } from '../src/index.ts';
import { eventually, RunSetting } from './run-setting.ts';

const credentials = { username: 'robot', password: 'hunter2hunter2' };
const image = (name: string, login: typeof credentials | null = null) => ({
  reference: `registry.example.com/${name}:1`,
  credentials: login,
});

/** A setting whose images are made one at a time, as far as the test lets them. */
async function preparing() {
  const setting = await RunSetting.create();
  const { resolve } = setting.images;
  const asked: { reference: string; credentials: unknown; signal: AbortSignal | undefined }[] = [];
  const failing = new Set<string>();
  let atOnce = 0;
  setting.images = {
    resolve: async (reference, options) => {
      asked.push({ reference, credentials: options?.credentials, signal: options?.signal });
      atOnce += 1;
      expect(atOnce).toBe(1);
      await new Promise((done) => setTimeout(done, 10));
      atOnce -= 1;
      if (failing.has(reference)) throw new ImageUnavailableError(reference, 'as the test wants it');
      return resolve(reference);
    },
  };
  return { setting, asked, failing };
}

test('a runner prepares its default image and those that its pool names, with their login, and later what is new', async () => {
  const { setting, asked, failing } = await preparing();
  await using _ = setting;
  setting.server.images = [image('a'), image('b', credentials)];
  failing.add(image('a').reference);
  await setting.start();
  await eventually(() => asked.length === 3);
  expect(asked.map(({ reference }) => reference)).toEqual([
    setting.options.defaultImage,
    image('a').reference,
    image('b').reference,
  ]);
  expect(asked.map((each) => each.credentials)).toEqual([null, null, credentials]);

  setting.server.images = [image('a'), image('b', { ...credentials, password: 'changed' }), image('c')];
  await eventually(() => asked.length === 5);
  expect(asked.slice(3).map(({ reference }) => reference)).toEqual([
    image('b').reference,
    image('c').reference,
  ]);
  expect(asked[3]?.credentials).toEqual({ ...credentials, password: 'changed' });
  const told = setting.logged.filter(({ message }) => message.includes('could not be prepared'));
  expect(told).toMatchObject([{ level: 'warn', fields: { reference: image('a').reference } }]);
});

test('nothing is prepared while the cache is nearly full', async () => {
  const { setting, asked } = await preparing();
  await using _ = setting;
  setting.imagesAreNearlyFull = true;
  setting.server.images = [image('a')];
  await setting.start();
  await eventually(
    () => setting.logged.filter(({ message }) => message.includes('nearly full')).length === 2,
  );
  expect(asked).toEqual([]);
});

test('what is being prepared does not hold up the end of a runner', async () => {
  const setting = await RunSetting.create();
  await using _ = setting;
  const { resolve } = setting.images;
  const slow = Promise.withResolvers<AbortSignal>();
  setting.images = {
    resolve: async (reference, options) => {
      if (!reference.includes('slow')) return resolve(reference);
      const signal = options?.signal ?? new AbortController().signal;
      slow.resolve(signal);
      await new Promise((_done, fail) => signal.addEventListener('abort', () => fail(signal.reason)));
      return resolve(reference);
    },
  };
  setting.server.images = [image('slow')];
  const runner = await setting.start();
  await slow.promise;
  await runner.stop();
});
