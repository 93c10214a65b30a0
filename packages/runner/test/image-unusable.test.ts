import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { ImageStore } from '../src/images/image-store.ts';
import { ImageUnavailableError } from '../src/images/image-unavailable.ts';
import { nodePath } from '../src/setup/repository.ts';
import { pushImage, type TestRegistry } from './image-registry.ts';
import { ImageSetting, unavailable } from './image-setting.ts';

let setting: ImageSetting;
let folder: string;
let registry: TestRegistry;
let cacheDirectory: string;
let images: ImageStore;
beforeAll(async () => {
  setting = await ImageSetting.create();
  ({ folder, registry } = setting);
  await setting.pushPrograms();
  await pushImage(folder, `${registry.host}/team/empty:1`, { 'etc/greeting': 'hello' });
});
afterAll(() => setting[Symbol.asyncDispose]());
beforeEach(async () => {
  ({ cacheDirectory, images } = await setting.makeCache());
});

describe('an image that no run could use is refused with its name and the remedy', () => {
  test('when its platform is another', async () => {
    const error = await unavailable(images, `${registry.host}/team/arm:1`);
    expect(error.message).toContain('image is linux/arm64, this runner is linux/amd64');
  });

  test('when it has no pulumi', async () => {
    const error = await unavailable(images, `${registry.host}/team/empty:1`);
    expect(error.message).toContain('no `pulumi` on its PATH; install the Pulumi CLI');
    const devices = await readdir(join(cacheDirectory, 'images/devices'));
    expect(devices.filter((name) => !name.endsWith('.lock'))).toEqual([]);
  });

  test('when its pulumi is a link to a program of the host', async () => {
    const reference = `${registry.host}/team/escape:1`;
    await pushImage(folder, reference, {}, { links: { 'usr/bin/pulumi': nodePath } });
    expect((await unavailable(images, reference)).message).toContain('no `pulumi` on its PATH');
  });

  test('when the registry does not have it', async () => {
    expect((await unavailable(images, `${registry.host}/team/program:2`)).message).toContain(
      'does not have it',
    );
    expect((await unavailable(images, `${registry.host}/nobody/nothing`)).message).toContain(
      'does not have it',
    );
  });

  test('when the registry does not answer', async () => {
    expect((await unavailable(images, '127.0.0.1:1/team/program:1')).message).toContain('cannot be reached');
  });

  test('when it was never built here', async () => {
    expect((await unavailable(images, 'localhost/slipway/other:1')).message).toContain(
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
    const error = await images.resolve(reference).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(ImageUnavailableError);
    expect(String(error)).toContain('not an image reference');
  });
});
