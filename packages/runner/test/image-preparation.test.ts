import { expect, test } from 'vitest';
import { PoolCalls } from '../src/control-plane-client/calls.ts';
import { Connection } from '../src/control-plane-client/connection.ts';
import { ImageAttempts } from '../src/image-attempts.ts';
import { prepareImages } from '../src/image-preparation.ts';
import { ImageUnavailableError } from '../src/index.ts';
import { eventually, RunSetting } from './run-setting.ts';

const credentials = { username: 'robot', password: 'hunter2hunter2' };
const image = (name: string, login: typeof credentials | null = null) => ({
  id: `${name} ${login?.password}`,
  reference: `registry.example.com/${name}:1`,
  credentials: login,
});

/** A setting whose images are made one at a time, as far as the test lets them. */
async function preparing() {
  const setting = await RunSetting.create();
  const { resolve } = setting.images;
  const asked: { reference: string; credentials: unknown; signal: AbortSignal | undefined }[] = [];
  const failing = new Set<string>();
  const problem = { text: 'as the test wants it' };
  let atOnce = 0;
  setting.images = {
    resolve: async (reference, options) => {
      asked.push({ reference, credentials: options?.credentials, signal: options?.signal });
      atOnce += 1;
      expect(atOnce).toBe(1);
      await new Promise((done) => setTimeout(done, 10));
      atOnce -= 1;
      if (failing.has(reference)) throw new ImageUnavailableError(reference, problem.text);
      return resolve(reference);
    },
  };
  return { setting, asked, failing, problem };
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

test('why an image is not ready is told and kept in harmless words, until it is ready or nobody wants it', async () => {
  const { setting, asked, failing, problem } = await preparing();
  await using _ = setting;
  problem.text = 'unauthorized: \u001b[2J\nthe login is wrong';
  const [wrong, gone, good] = [image('wrong', credentials), image('gone'), image('good')];
  for (const { reference } of [wrong, gone]) failing.add(reference);
  setting.server.images = [wrong, gone, good];
  await setting.start();
  await eventually(() => setting.server.imageFailures.length === 2 && asked.length === 4);
  expect(setting.server.imageFailures).toMatchObject([
    {
      imageId: wrong.id,
      problem: expect.stringMatching(/wrong:1": unauthorized: ␛\[2J the login is wrong$/),
    },
    { imageId: gone.id, failedAt: expect.stringMatching(/^20\d\d-/) },
  ]);
  expect([...setting.imageFailures.keys()]).toEqual([wrong.reference, gone.reference]);

  // The settings get another login, and no longer name the other one.
  failing.clear();
  const before = asked.length;
  setting.server.images = [image('wrong', { ...credentials, password: 'changed' }), good];
  await eventually(() => setting.server.imageFailures.length === 0);
  expect(asked.slice(before).map(({ reference }) => reference)).toEqual([wrong.reference]);
  expect(setting.imageFailures.has(gone.reference)).toBe(false);
});

/** The preparation alone, by a clock that the test sets. */
function startPreparation({ setting }: { readonly setting: RunSetting }, now: () => number) {
  const connection = new Connection(new URL(setting.server.url), undefined);
  const stopping = new AbortController();
  const preparation = prepareImages(
    {
      ...{ calls: new PoolCalls(connection, 'pool-token'), runnerId: () => 'runner-1', now },
      ...{
        images: setting.parts.images,
        defaultImage: setting.options.defaultImage,
        log: setting.options.log,
        attempts: new ImageAttempts(),
      },
    },
    stopping.signal,
  );
  return {
    async [Symbol.asyncDispose]() {
      stopping.abort();
      await preparation;
      connection.close();
    },
  };
}

test('an image that could not be had is tried again after five minutes, then ever more rarely, and one that could is not', async () => {
  const given = await preparing();
  const { setting, asked, failing } = given;
  await using _setting = setting;
  const [late, good] = [image('late'), image('good')];
  setting.server.images = [late, good];
  failing.add(late.reference);
  let now = Date.parse('2026-01-02T03:04:05Z');
  await using _preparation = startPreparation(given, () => now);
  const triedLate = () => asked.filter(({ reference }) => reference === late.reference).length;
  await eventually(() => setting.server.imageFailures.length === 1);
  expect(triedLate()).toBe(1);
  let looks = 0;
  /** Something else is wanted, for which the runner looks at its list until nothing of it is due. */
  const look = async () => {
    looks += 1;
    const other = image(`other-${looks}`);
    setting.server.imagesWaitSeconds = 0;
    setting.server.images = [late, good, other];
    await eventually(() => asked.some(({ reference }) => reference === other.reference));
    await eventually(() => setting.server.imagesWaitSeconds > 0);
  };
  for (const [tries, minutes] of [5, 10, 20, 40, 60, 60].entries()) {
    now += minutes * 60_000 - 1_000;
    await look();
    expect(triedLate()).toBe(tries + 1);
    now += 1_000;
    await look();
    expect(triedLate()).toBe(tries + 2);
    expect(setting.server.imageFailures).toMatchObject([{ failedAt: new Date(now).toISOString() }]);
  }
  now += 3_600_000;
  failing.clear();
  await look();
  expect(setting.server.imageFailures).toEqual([]);
  now += 7_200_000;
  await look();
  expect(triedLate()).toBe(8);
  expect(asked.filter(({ reference }) => reference === good.reference)).toHaveLength(1);
});

test('a new image waits for one at most of those that failed before, and each failure is told at once', async () => {
  const given = await preparing();
  const { setting, asked, failing } = given;
  await using _setting = setting;
  const dead = ['one', 'two', 'three'].map((name) => image(name));
  const [fresh, fresher] = [image('fresh'), image('fresher')];
  for (const { reference } of dead) failing.add(reference);
  setting.server.images = dead;
  let now = Date.parse('2026-01-02T03:04:05Z');
  const told: number[] = [];
  const { resolve } = setting.images;
  setting.images = {
    resolve: async (reference, options) => {
      told.push(setting.server.imageFailures.length);
      const isSecondTry = asked.some((before) => before.reference === reference);
      if (isSecondTry && reference === dead[0]?.reference) setting.server.images = [...dead, fresh, fresher];
      return resolve(reference, options);
    },
  };
  await using _preparation = startPreparation(given, () => now);
  await eventually(() => setting.server.imageFailures.length === 3);
  expect(told).toEqual([0, 0, 1, 2]);
  now += 300_000;
  setting.server.images = [...dead, fresh];
  await eventually(() => asked.length === 9);
  expect(asked.slice(4).map(({ reference }) => reference)).toEqual(
    [fresh, dead[0], fresher, dead[1], dead[2]].map((each) => each?.reference),
  );
});

test('what is prepared pushes out nothing that may be another image that is wanted, as soon as one knows which are', async () => {
  const given = await preparing();
  const { setting } = given;
  await using _setting = setting;
  const digestOf = (reference: string) => `digest of ${reference}`;
  const [a, b, unwanted] = ['a', 'b', 'unwanted'].map((name) => image(name).reference);
  const stored = [a, b, unwanted].flatMap((reference = '') => [
    { reference, digest: digestOf(reference) },
    { reference, digest: `${digestOf(reference)} once` },
  ]);
  const spared = new Map<string, string[]>();
  const { resolve } = setting.images;
  setting.images = {
    resolve: async (reference, options) => {
      const isSpared = options?.aheadOfTime?.spares ?? (() => false);
      spared.set(
        reference,
        stored.filter(isSpared).map(({ digest }) => digest),
      );
      return { ...(await resolve(reference, options)), digest: digestOf(reference) };
    },
  };
  setting.server.images = [image('a'), image('b')];
  await using _preparation = startPreparation(given, Date.now);
  await eventually(() => spared.size === 3);
  expect([...spared]).toEqual([
    [setting.options.defaultImage, stored.map(({ digest }) => digest)],
    [a, [digestOf(`${b}`), `${digestOf(`${b}`)} once`]],
    [b, [digestOf(`${a}`)]],
  ]);
});

test('nothing is prepared while the cache is nearly full, which is told, until it has room', async () => {
  const given = await preparing();
  const { setting, asked } = given;
  await using _setting = setting;
  setting.imagesAreNearlyFull = true;
  setting.server.images = [image('a')];
  let now = Date.parse('2026-01-02T03:04:05Z');
  await using _preparation = startPreparation(given, () => now);
  await eventually(() => setting.server.imageFailures.length === 1);
  expect(asked).toEqual([]);
  expect(setting.server.imageFailures).toMatchObject([
    { imageId: image('a').id, problem: expect.stringContaining('the image cache is nearly full') },
  ]);
  expect([...setting.imageFailures.keys()]).toEqual([setting.options.defaultImage, image('a').reference]);

  setting.imagesAreNearlyFull = false;
  now += 5 * 60_000;
  setting.server.images = [image('a'), image('b')];
  await eventually(() => asked.length === 3 && setting.server.imageFailures.length === 0);
});

test('an image that a run could have after all, with the login that had failed, is no longer told', async () => {
  const { setting, failing } = await preparing();
  await using _ = setting;
  const [own, others] = [image('a', credentials), image('a')];
  failing.add(own.reference);
  setting.server.images = [own, others];
  await setting.start();
  await eventually(() => setting.server.imageFailures.length === 2);
  failing.clear();
  setting.server.queue({ imageReference: own.reference }).imageCredentials = credentials;
  await setting.isolation.sandbox();
  // For that the runner asks again what is wanted.
  setting.server.images = [own, others, image('b')];
  await eventually(() => setting.server.imageFailures.length === 1);
  expect(setting.server.imageFailures).toMatchObject([{ imageId: others.id }]);
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
