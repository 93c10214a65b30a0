import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { ImageUnavailableError } from '../src/images/image-unavailable.ts';
import { nodePath } from '../src/setup/repository.ts';
import { pushImage } from './image-registry.ts';
import { pushPrograms, unavailable, useImageSetting } from './image-setting.ts';

const given = useImageSetting();
beforeAll(async () => {
  await pushPrograms(given);
  await pushImage(given.folder, `${given.registry.host}/team/empty:1`, { 'etc/greeting': 'hello' });
});

describe('an image that no run could use is refused with its name and the remedy', () => {
  test('when its platform is another', async () => {
    const error = await unavailable(given.images, `${given.registry.host}/team/arm:1`);
    expect(error.message).toContain('image is linux/arm64, this runner is linux/amd64');
  });

  test('when it has no pulumi', async () => {
    const error = await unavailable(given.images, `${given.registry.host}/team/empty:1`);
    expect(error.message).toContain('no `pulumi` on its PATH; install the Pulumi CLI');
    const devices = await readdir(join(given.cacheDirectory, 'images/devices'));
    expect(devices.filter((name) => !name.endsWith('.lock'))).toEqual([]);
  });

  test('when its pulumi is a link to a program of the host', async () => {
    const reference = `${given.registry.host}/team/escape:1`;
    await pushImage(given.folder, reference, {}, { links: { 'usr/bin/pulumi': nodePath } });
    expect((await unavailable(given.images, reference)).message).toContain('no `pulumi` on its PATH');
  });

  test('when the registry does not have it', async () => {
    expect((await unavailable(given.images, `${given.registry.host}/team/program:2`)).message).toContain(
      'does not have it',
    );
    expect((await unavailable(given.images, `${given.registry.host}/nobody/nothing`)).message).toContain(
      'does not have it',
    );
  });

  test('when the registry does not answer', async () => {
    expect((await unavailable(given.images, '127.0.0.1:1/team/program:1')).message).toContain(
      'cannot be reached',
    );
  });

  test('when it was never built here', async () => {
    expect((await unavailable(given.images, 'localhost/slipway/other:1')).message).toContain(
      './slipway image build',
    );
  });

  test.each([
    '',
    '--help',
    'a b',
    'UPPER/case',
    'name@sha256:12',
    'x'.repeat(600),
    'docker://a/b',
    'a/b:c d',
  ])('when "%s" is not a reference', async (reference) => {
    const error = await given.images.resolve(reference).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(ImageUnavailableError);
    expect(String(error)).toContain('not an image reference');
  });
});
