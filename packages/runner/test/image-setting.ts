import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'vitest';
import { createImageStore, type ImageStore, ImageUnavailableError } from '../src/index.ts';
import { pushImage, startRegistry, type TestRegistry } from './image-registry.ts';

/** Resolves an image, says so, and holds it for as long as its input stays open. */
export const imageResolver = join(import.meta.dirname, 'fixtures/image-resolver.ts');
export const withPulumi = { 'opt/pulumi/pulumi': '#!/bin/sh\necho v0\n', 'etc/greeting': 'hello' };
export const environment = ['PATH=/opt/pulumi:/bin', 'GREETING=a=b'];

/** A registry, and a folder with the caches that take images from it. */
export class ImageSetting implements AsyncDisposable {
  readonly folder: string;
  readonly registry: TestRegistry;

  private constructor(folder: string, registry: TestRegistry) {
    this.folder = folder;
    this.registry = registry;
  }

  static async create(): Promise<ImageSetting> {
    const folder = await mkdtemp(join(tmpdir(), 'slipway-images-'));
    return new ImageSetting(folder, await startRegistry(join(folder, 'registry')));
  }

  /** Pushes `team/program:1`, an image that a run could use, and for another platform `team/arm:1`. */
  async pushPrograms(): Promise<void> {
    const { folder, registry } = this;
    await pushImage(folder, `${registry.host}/team/program:1`, withPulumi, { environment });
    await pushImage(folder, `${registry.host}/team/arm:1`, withPulumi, {
      environment,
      architecture: 'arm64',
    });
  }

  /** An empty cache, and a store of it. */
  async makeCache(): Promise<{ cacheDirectory: string; images: ImageStore }> {
    const cacheDirectory = await mkdtemp(join(this.folder, 'cache-'));
    return { cacheDirectory, images: createImageStore({ cacheDirectory }) };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.registry[Symbol.asyncDispose]();
    await rm(this.folder, { recursive: true });
  }
}

/** The error of a reference that cannot be used. */
export async function unavailable(images: ImageStore, reference: string): Promise<ImageUnavailableError> {
  const error = await images.resolve(reference).catch((thrown: unknown) => thrown);
  if (!(error instanceof ImageUnavailableError)) throw new Error(`expected a refusal, got ${String(error)}`);
  expect(error.runCause).toBe('image-unavailable');
  expect(error.message).toContain(`"${reference}"`);
  return error;
}
