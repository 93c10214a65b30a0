import { randomBytes } from 'node:crypto';
import { expect, test } from 'vitest';
import * as z from 'zod';
import { refuseForeignSecrets } from '../src/stacks/foreign-secrets.ts';
import { stateSeal } from '../src/stacks/state-seal.ts';
import { server, useServer } from './use-server.ts';

useServer();

const sealed = z.object({ ciphertexts: z.array(z.string()) });

async function encrypt(stack: string, ...texts: readonly string[]): Promise<string[]> {
  const plaintexts = texts.map((text) => Buffer.from(JSON.stringify(text)).toString('base64'));
  return (await server.expectCall(sealed, 200, 'POST', `${stack}/batch-encrypt`, { plaintexts })).ciphertexts;
}

const secret = (member: object) => ({
  '4dabf18193072939515e22adb298388d': '1b47061264138c4ac30d75fd1eb44270',
  ...member,
});
const resource = (value: unknown) => ({
  ...{ urn: 'urn:pulumi:dev::shop::a:b:C::d', type: 'a:b:C', custom: false },
  outputs: { deep: [{ value }] },
});
const stateOf = (deployment: object, provider: object = { type: 'service', state: {} }) => ({
  version: 3,
  deployment: { secrets_providers: provider, ...deployment },
});

const refused = {
  status: 400,
  body: { code: 400, message: expect.stringContaining('encrypted for another stack') },
};

test("a state with another stack's secrets is refused, wherever they stand in it", async () => {
  const [stack, other] = [await server.makeStack('import'), await server.makeStack('import-other')];
  const [own = ''] = await encrypt(stack, 'mine');
  const [foreign = ''] = await encrypt(other, 'theirs');
  const ownState = stateOf({ resources: [resource(secret({ ciphertext: own }))] });
  expect(await server.call('POST', `${stack}/import`, ownState)).toMatchObject({ status: 200 });
  for (const deployment of [
    { resources: [resource(secret({ ciphertext: own })), resource(secret({ ciphertext: foreign }))] },
    { pending_operations: [{ resource: resource(secret({ ciphertext: foreign })), type: 'creating' }] },
    { resources: [resource(secret({ ciphertext: 'bm9uc2Vuc2U=' }))] },
  ]) {
    expect(await server.call('POST', `${stack}/import`, stateOf(deployment))).toEqual(refused);
    const created = { stackName: `made-${crypto.randomUUID()}`, state: stateOf(deployment) };
    expect(await server.call('POST', '/api/stacks/acme/shop', created)).toEqual(refused);
  }
  expect((await server.call('GET', `${stack}/export`)).body).toEqual(ownState);
  expect((await server.call('GET', `${stack}/updates`)).body).toMatchObject({ updates: [{ version: 1 }] });
});

test("a stack's own secrets are its own after it was renamed", async () => {
  const stack = await server.makeStack('before-renaming');
  const [ciphertext] = await encrypt(stack, 'mine');
  const state = stateOf({ resources: [resource(secret({ ciphertext }))] });
  expect(await server.call('POST', `${stack}/rename`, { newName: 'renamed' })).toMatchObject({ status: 200 });
  const renamed = stack.replace('before-renaming', 'renamed');
  expect(await server.call('POST', `${renamed}/import`, state)).toMatchObject({ status: 200 });
});

test.each([
  ['in clear', stateOf({ resources: [resource(secret({ plaintext: '"clear"' }))] })],
  [
    'of another provider',
    stateOf(
      { resources: [resource(secret({ ciphertext: 'v1:abc:def' }))] },
      { type: 'passphrase', state: {} },
    ),
  ],
  [
    'that are nothing to Pulumi',
    stateOf({ resources: [resource({ ciphertext: 'AQICAH' }), resource(secret({ plaintext: '"clear"' }))] }),
  ],
])('secrets %s are imported', async (what, state) => {
  const stack = await server.makeStack(`plain-${what.replaceAll(/\W/g, '-')}`);
  expect(await server.call('POST', `${stack}/import`, state)).toMatchObject({ status: 200 });
});

test('a state that is nested without end is looked through', async () => {
  const seal = stateSeal(randomBytes(32), crypto.randomUUID());
  const foreign = JSON.stringify(secret({ ciphertext: 'bm9uc2Vuc2U=' }));
  const value = `${'['.repeat(100_000)}${foreign}${']'.repeat(100_000)}`;
  const text = `{"deployment":{"secrets_providers":{"type":"service"},"resources":[${value}]}}`;
  await expect(refuseForeignSecrets(text, seal)).rejects.toThrow('encrypted for another stack');
});

test('50,000 secrets in 20 MB take little more than opening them, and other calls get their turn meanwhile', async () => {
  const seal = stateSeal(randomBytes(32), crypto.randomUUID());
  const ciphertexts = Array.from({ length: 50_000 }, () => seal.seal(randomBytes(230)).toString('base64'));
  const resources = ciphertexts.map((ciphertext) => resource(secret({ ciphertext })));
  const text = JSON.stringify(stateOf({ resources }));
  expect(text.length).toBeGreaterThan(20e6);

  const reference = performance.now();
  for (const ciphertext of ciphertexts) seal.open(Buffer.from(ciphertext, 'base64'));
  const started = performance.now();
  let isDone = false;
  const looking = refuseForeignSecrets(text, seal).finally(() => {
    isDone = true;
  });
  let turns = 0;
  for (; !isDone; turns += 1) await new Promise(setImmediate);
  await looking;
  expect((performance.now() - started) / (started - reference)).toBeLessThan(3);
  expect(turns).toBeGreaterThan(50);
});
