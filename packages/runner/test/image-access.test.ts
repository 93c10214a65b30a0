import { chmod, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, delimiter, join } from 'node:path';
import { inspect } from 'node:util';
import type { RegistryCredentials } from '@slipway/core';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import { createImageStore, type ImageStore } from '../src/images/image-store.ts';
import { startFaultyRegistry } from '../src/testing/faulty-registry.ts';
import { usersOf } from '../src/testing/folder-users.ts';
import { layerOf } from '../src/testing/layers.ts';
import { passwordFileLine } from '../src/testing/password-file.ts';
import { push, startRegistry, type TestRegistry } from './image-registry.ts';

const right: RegistryCredentials = { username: 'robot', password: 'canary-registry-password' };
const wrong: RegistryCredentials = { username: 'robot', password: 'another' };
const refused = /the registry refuses access/;
const privateImage = { layers: [layerOf([{ file: 'usr/bin/pulumi', mode: 0o755 }])] };

let folder: string;
let registry: TestRegistry;
let images: ImageStore;
let cacheDirectory: string;
let home: string;
let reference: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'slipway-image-access-'));
  const passwords = join(folder, 'htpasswd');
  await writeFile(passwords, passwordFileLine(right.username, right.password));
  registry = await startRegistry(join(folder, 'registry'), {
    auth: { htpasswd: { realm: 'test', path: passwords } },
  });
  reference = `${registry.host}/team/private:1`;
  await push(folder, reference, privateImage, `${right.username}:${right.password}`);
});
afterAll(async () => {
  await registry[Symbol.asyncDispose]();
  await rm(folder, { recursive: true });
});
beforeEach(async () => {
  cacheDirectory = await mkdtemp(join(folder, 'cache-'));
  home = await mkdtemp(join(folder, 'home-'));
  vi.stubEnv('HOME', home);
  vi.stubEnv('XDG_RUNTIME_DIR', undefined);
  vi.stubEnv('REGISTRY_AUTH_FILE', undefined);
  images = createImageStore({ cacheDirectory });
});
afterEach(() => {
  vi.unstubAllEnvs();
});

/** How the host is logged in: `~/.docker/config.json`. */
async function dockerConfiguration(content: object): Promise<void> {
  await mkdir(join(home, '.docker'));
  await writeFile(join(home, '.docker/config.json'), JSON.stringify(content));
}
const auth = ({ username, password }: RegistryCredentials) =>
  Buffer.from(`${username}:${password}`).toString('base64');

describe('a registry that wants a login', () => {
  test('lets the image have whose settings name the right one', async () => {
    expect((await images.resolve(reference, { credentials: right })).reference).toBe(reference);
  });

  test('lets nobody else have it', async () => {
    await expect(images.resolve(reference)).rejects.toThrow(refused);
    await expect(images.resolve(reference, { credentials: wrong })).rejects.toThrow(refused);
  });

  test('takes the login of the host for settings without one: of its authentication file', async () => {
    await dockerConfiguration({ auths: { [registry.host]: { auth: auth(right) } } });
    await images.resolve(reference);
  });

  test('takes the login of the host for settings without one: of another authentication file', async () => {
    const path = join(home, 'auth.json');
    await writeFile(path, JSON.stringify({ auths: { [registry.host]: { auth: auth(right) } } }));
    vi.stubEnv('REGISTRY_AUTH_FILE', path);
    await images.resolve(reference);
  });

  test('takes the login of the host for settings without one: of a credential helper', async () => {
    await dockerConfiguration({ credHelpers: { [registry.host]: 'of-the-test' } });
    const helper = join(home, 'docker-credential-of-the-test');
    const answer = JSON.stringify({
      ServerURL: registry.host,
      Username: right.username,
      Secret: right.password,
    });
    await writeFile(helper, `#!/bin/sh\ncat > /dev/null\necho '${answer}'\n`);
    await chmod(helper, 0o755);
    vi.stubEnv('PATH', `${home}${delimiter}${process.env.PATH}`);
    await images.resolve(reference);
  });

  test('is not given the login of the host where the settings name another', async () => {
    await dockerConfiguration({ auths: { [registry.host]: { auth: auth(right) } } });
    await expect(images.resolve(reference, { credentials: wrong })).rejects.toThrow(refused);
  });
});

test.each([
  ['of the settings', right, null],
  ['that the cloud gave the host', null, right],
])('a password %s is not in what its registry says of it', async (_name, credentials, ofHost) => {
  await using faulty = await startFaultyRegistry(registry.host);
  const message = `${right.password} of ${auth(right)} is wrong`;
  faulty.fail(/manifests/, [{ status: 403, body: { errors: [{ code: 'DENIED', message }] } }], true);
  const logins = { loginAt: async () => credentials ?? ofHost, remarkAbout: () => '' };
  const failing = createImageStore({ cacheDirectory, logins });
  const error: unknown = await failing
    .resolve(`${faulty.host}/team/private:1`, { credentials })
    .catch((failure: unknown) => failure);
  const words = inspect(error);
  expect(words).toContain('*** of *** is wrong');
  expect(words).not.toContain(right.password);
  expect(words).not.toContain(auth(right));
});

describe('an image that is here already', () => {
  const digestReference = async () => {
    const { digest } = await images.resolve(reference, { credentials: right });
    return `${registry.host}/team/private@${digest}`;
  };

  test('is for those only whom its registry lets have it, also by its digest', async () => {
    const byDigest = await digestReference();
    await expect(images.resolve(byDigest)).rejects.toThrow(refused);
    await expect(images.resolve(byDigest, { credentials: wrong })).rejects.toThrow(refused);
    await expect(images.resolve(reference)).rejects.toThrow(refused);
    const next = createImageStore({ cacheDirectory });
    await expect(next.resolve(byDigest)).rejects.toThrow(refused);
    await next.resolve(byDigest, { credentials: right });
  });

  test('is not asked for again by a login that had it by its digest', async () => {
    const byDigest = await digestReference();
    const before = registry.requests(/./);
    await images.resolve(byDigest, { credentials: right });
    expect(registry.requests(/./)).toBe(before);
  });

  test('is not for who only names its digest, in an index of his own', async () => {
    const { digest } = await images.resolve(reference, { credentials: right });
    await using faulty = await startFaultyRegistry(registry.host);
    const mediaType = 'application/vnd.oci.image.index.v1+json';
    const platform = { os: 'linux', architecture: 'amd64' };
    const manifests = [
      { mediaType: 'application/vnd.oci.image.manifest.v1+json', digest, size: 1, platform },
    ];
    const body = { schemaVersion: 2, mediaType, manifests };
    faulty.fail(/manifests\/lure/, [{ status: 200, headers: { 'content-type': mediaType }, body }], true);
    await expect(images.resolve(`${faulty.host}/team/private:lure`)).rejects.toThrow(refused);
    expect(faulty.asked.some((path) => path.endsWith(digest))).toBe(true);
  });

  test('under the name of another repository is one that its registry has to know', async () => {
    const byDigest = (await digestReference()).replace('team/private', 'team/other');
    await expect(images.resolve(byDigest, { credentials: right })).rejects.toThrow('does not have it');
  });
});

describe('whoever knows the digests of an image that is here already', () => {
  test.each([
    ['its layer', { ...privateImage, config: { Env: ['OF=a stranger'] } }],
    ['the whole image', privateImage],
  ])('has to deliver %s from a repository of his own', async (_, image) => {
    const { digest } = await images.resolve(reference, { credentials: right });
    await using open = await startRegistry(await mkdtemp(join(folder, 'strangers-')));
    await using strangers = await startFaultyRegistry(open.host);
    const pushed = await push(folder, `${open.host}/team/lure:1`, image);
    expect(pushed.digest === digest).toBe(image === privateImage);
    const [layer = ''] = pushed.layers.map((path) => basename(path));
    strangers.fail(new RegExp(`/blobs/sha256:${layer}`), [{ status: 404 }], true);

    const lure = `${strangers.host}/team/lure:1`;
    const byDigest = `${strangers.host}/team/lure@${pushed.digest}`;
    for (const wanted of [lure, byDigest, lure]) await expect(images.resolve(wanted)).rejects.toThrow(layer);
    expect(strangers.asked.some((path) => path.endsWith(layer))).toBe(true);

    // The registry behind it does deliver.
    expect((await images.resolve(`${open.host}/team/lure:1`)).digest).toBe(pushed.digest);
    await expect(images.resolve(lure)).rejects.toThrow(layer);
  });
});

test('a password is on no command line, in no environment and in no file while it is used, nor after', async () => {
  await using faulty = await startFaultyRegistry(registry.host);
  faulty.fail(/\/blobs\//, [{ stallAfterBytes: 10 }], true);
  const pulling = createImageStore({ cacheDirectory, stallMilliseconds: 3_000 })
    .resolve(`${faulty.host}/team/private:1`, { credentials: right })
    .catch(() => undefined);
  await vi.waitFor(() => expect(faulty.asked.some((path) => path.includes('/blobs/'))).toBe(true), 10_000);
  const secrets = [right.password, auth(right)];
  const found = async (path: string) => {
    const bytes = await readFile(path).catch(() => Buffer.alloc(0));
    return secrets.some((secret) => bytes.includes(secret)) ? [path] : [];
  };
  const processes = usersOf(cacheDirectory);
  expect(processes.length).toBeGreaterThan(0);
  let readers = 0;
  for (const id of processes) {
    for (const file of ['cmdline', 'environ']) expect(await found(`/proc/${id}/${file}`)).toEqual([]);
    // The positive control: what skopeo reads it from has no name.
    if ((await readFile(`/proc/${id}/comm`, 'utf8')).trim() !== 'skopeo') continue;
    readers += 1;
    expect(await found(`/proc/${id}/fd/3`)).toEqual([`/proc/${id}/fd/3`]);
  }
  expect(readers).toBe(1);
  await pulling;
  for (const directory of [cacheDirectory, tmpdir()]) {
    for (const entry of await readdir(directory, {
      recursive: directory === cacheDirectory,
      withFileTypes: true,
    })) {
      if (entry.isFile()) expect(await found(join(entry.parentPath, entry.name))).toEqual([]);
    }
  }
});
