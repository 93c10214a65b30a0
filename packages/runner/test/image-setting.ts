import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, expect } from 'vitest';
import { createImageStore, type ImageStore, ImageUnavailableError } from '../src/index.ts';
import { pushImage, startRegistry, type TestRegistry } from './image-registry.ts';

/** Resolves an image, says so, and holds it for as long as its input stays open. */
export const imageResolver = join(import.meta.dirname, 'fixtures/image-resolver.ts');
export const withPulumi = { 'opt/pulumi/pulumi': '#!/bin/sh\necho v0\n', 'etc/greeting': 'hello' };
export const environment = ['PATH=/opt/pulumi:/bin', 'GREETING=a=b'];

/** A registry that the tests of a file share, and an empty cache that each has for itself, with a store of it. */
export interface ImageSetting {
  readonly folder: string;
  readonly registry: TestRegistry;
  readonly cacheDirectory: string;
  readonly images: ImageStore;
}

/** To be read in tests and hooks alone: they find there what is theirs. */
export function useImageSetting(): ImageSetting {
  let folder: string;
  let registry: TestRegistry;
  let cacheDirectory: string;
  let images: ImageStore;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'slipway-images-'));
    registry = await startRegistry(join(folder, 'registry'));
  });
  afterAll(async () => {
    await registry?.[Symbol.asyncDispose]();
    await rm(folder, { recursive: true });
  });
  beforeEach(async () => {
    cacheDirectory = await mkdtemp(join(folder, 'cache-'));
    images = createImageStore({ cacheDirectory });
  });
  return {
    get folder() {
      return folder;
    },
    get registry() {
      return registry;
    },
    get cacheDirectory() {
      return cacheDirectory;
    },
    get images() {
      return images;
    },
  };
}

/** Pushes `team/program:1`, an image that a run could use, and for another platform `team/arm:1`. */
export async function pushPrograms({ folder, registry }: ImageSetting): Promise<void> {
  const { host } = registry;
  await pushImage(folder, `${host}/team/program:1`, withPulumi, { environment });
  await pushImage(folder, `${host}/team/arm:1`, withPulumi, { environment, architecture: 'arm64' });
}

/** The error of a reference that cannot be used. */
export async function unavailable(images: ImageStore, reference: string): Promise<ImageUnavailableError> {
  const error = await images.resolve(reference).catch((thrown: unknown) => thrown);
  if (!(error instanceof ImageUnavailableError)) throw new Error(`expected a refusal, got ${String(error)}`);
  expect(error.runCause).toBe('image-unavailable');
  expect(error.message).toContain(`"${reference}"`);
  return error;
}
