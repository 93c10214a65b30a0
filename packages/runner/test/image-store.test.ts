import { createHash } from 'node:crypto';
import { mkdtemp, readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { createImageStore } from '../src/images/image-store.ts';
import { StoreFolder } from '../src/images/store-folder.ts';
import { nodePath } from '../src/setup/repository.ts';
import { runCommand } from '../src/setup/run-command.ts';
import { extractErofs, pushImage, pushIndex } from './image-registry.ts';
import {
  environment,
  imageResolver,
  pushPrograms,
  unavailable,
  useImageSetting,
  withPulumi,
} from './image-setting.ts';

const given = useImageSetting();
beforeAll(() => pushPrograms(given));

describe('an image of a registry', () => {
  test('is pulled by its tag and becomes a read-only device with its files and variables', async () => {
    const reference = `${given.registry.host}/team/program:1`;
    const image = await given.images.resolve(reference);
    expect(image.reference).toBe(reference);
    const digest = await runCommand([
      'skopeo',
      'inspect',
      '--tls-verify=false',
      '--format',
      '{{.Digest}}',
      `docker://${reference}`,
    ]);
    expect(image.digest).toBe(digest.trim());
    expect(image.config.environment).toEqual({ PATH: '/opt/pulumi:/bin', GREETING: 'a=b' });
    const extracted = join(given.cacheDirectory, 'extracted');
    await extractErofs(image.erofsPath, extracted);
    expect(await readFile(join(extracted, 'etc/greeting'), 'utf8')).toBe('hello');
    const program = await stat(join(extracted, 'opt/pulumi/pulumi'));
    expect(program.mode & 0o777).toBe(0o755);
    expect(program.uid).toBe(0);
    const made = await stat(image.erofsPath);
    expect(made.mode & 0o222).toBe(0);
  });

  test('leaves nothing but its device, a record and its layers in the cache', async () => {
    const { digest } = await given.images.resolve(`${given.registry.host}/team/program:1`);
    const names = await readdir(
      new StoreFolder(given.cacheDirectory).device(digest, `${given.registry.host}/team/program`),
    );
    expect(names.sort()).toEqual(['image.json', 'root.erofs']);
    expect((await readdir(join(given.cacheDirectory, 'images'))).sort()).toEqual([
      'devices',
      'holders',
      'layers',
    ]);
    expect(await readdir(join(given.cacheDirectory, 'images/layers'))).toHaveLength(1);
  });

  test('is named by its digest too, and then needs no registry once it is here', async () => {
    const { digest } = await given.images.resolve(`${given.registry.host}/team/program:1`);
    const before = given.registry.requests(/./);
    const again = await given.images.resolve(`${given.registry.host}/team/program:ignored@${digest}`);
    expect(again.digest).toBe(digest);
    // Nor does the next process.
    const next = createImageStore({ cacheDirectory: given.cacheDirectory });
    expect((await next.resolve(`${given.registry.host}/team/program@${digest}`)).digest).toBe(digest);
    expect(given.registry.requests(/./)).toBe(before);
  });

  test('is pulled by digest alone', async () => {
    const { digest } = await given.images.resolve(`${given.registry.host}/team/program:1`);
    const other = createImageStore({ cacheDirectory: await mkdtemp(join(given.folder, 'cache-')) });
    expect((await other.resolve(`${given.registry.host}/team/program@${digest}`)).digest).toBe(digest);
  });

  test('is looked up again by its tag, and a moved tag gives the new content', async () => {
    const reference = `${given.registry.host}/team/moving:latest`;
    await pushImage(given.folder, reference, { ...withPulumi, 'etc/greeting': 'first' }, { environment });
    const first = await given.images.resolve(reference);
    await pushImage(given.folder, reference, { ...withPulumi, 'etc/greeting': 'second' }, { environment });
    const second = await given.images.resolve(`${given.registry.host}/team/moving`);
    expect(second.digest).not.toBe(first.digest);
  });
});

test('an image is stored once, however the name of its repository is spelled', async () => {
  const { port } = new URL(`http://${given.registry.host}`);
  const before = given.registry.requests(/program\/blobs/);
  for (const host of ['localhost', 'LocalHost']) await given.images.resolve(`${host}:${port}/team/program:1`);
  expect(given.registry.requests(/program\/blobs/) - before).toBe(2); // The configuration and the one layer.
  const devices = await readdir(join(given.cacheDirectory, 'images/devices'));
  expect(devices.filter((name) => !name.endsWith('.lock'))).toHaveLength(1);
});

test('an image for several platforms is pulled for this one, and refused with their names when it is not among them', async () => {
  const repository = `${given.registry.host}/team/program`;
  const digests = {
    amd64: await manifestOf(`${given.registry.host}/team/program:1`),
    arm64: await copyManifest(`${given.registry.host}/team/arm:1`, `${repository}:arm64`),
  };
  await pushIndex(repository, 'both', [
    { architecture: 'arm64', ...digests.arm64 },
    { architecture: 'amd64', ...digests.amd64 },
  ]);
  await pushIndex(repository, 'arm-only', [{ architecture: 'arm64', ...digests.arm64 }]);
  expect((await given.images.resolve(`${repository}:both`)).digest).toBe(digests.amd64.digest);
  // That it is here is known by its digest, which the tag's index says.
  const asked = given.registry.requests(/\/manifests\//);
  expect((await given.images.resolve(`${repository}:both`)).digest).toBe(digests.amd64.digest);
  expect(given.registry.requests(/\/manifests\//)).toBe(asked + 1);
  const { digest: both } = await manifestOf(`${repository}:both`);
  expect((await given.images.resolve(`${repository}@${both}`)).digest).toBe(digests.amd64.digest);
  const before = given.registry.requests(/./);
  expect((await given.images.resolve(`${repository}@${both}`)).digest).toBe(digests.amd64.digest);
  expect(given.registry.requests(/./)).toBe(before);
  const error = await unavailable(given.images, `${repository}:arm-only`);
  expect(error.message).toContain('image is linux/arm64, this runner is linux/amd64');
});

/** Digest and size of a manifest in the given.registry. */
async function manifestOf(reference: string): Promise<{ digest: string; size: number }> {
  const raw = await runCommand(['skopeo', 'inspect', '--raw', '--tls-verify=false', `docker://${reference}`]);
  const size = Buffer.byteLength(raw);
  return { digest: `sha256:${createHash('sha256').update(raw).digest('hex')}`, size };
}

async function copyManifest(from: string, to: string): Promise<{ digest: string; size: number }> {
  const tls = ['--src-tls-verify=false', '--dest-tls-verify=false'];
  await runCommand(['skopeo', 'copy', ...tls, `docker://${from}`, `docker://${to}`]);
  return manifestOf(to);
}

describe('conversion', () => {
  test('happens once when several callers want the same image at the same time, in several processes', async () => {
    const reference = `${given.registry.host}/team/once:1`;
    await pushImage(given.folder, reference, { ...withPulumi, 'etc/only-here': 'once' }, { environment });
    const digests = await Promise.all([
      given.images.resolve(reference).then(({ digest }) => digest),
      given.images.resolve(reference).then(({ digest }) => digest),
      runCommand([nodePath, imageResolver, given.cacheDirectory, reference]).then((text) => text.trim()),
    ]);
    expect(new Set(digests).size).toBe(1);
    expect(given.registry.requests(/once\/blobs\/sha256/)).toBe(2); // The configuration and the one layer.
  });
});
