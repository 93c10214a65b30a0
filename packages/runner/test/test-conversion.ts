import { mkdir, mkdtemp, rm, rmdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { usualLimits } from '../src/images/convert/limits.ts';
import { convert } from '../src/images/convert.ts';
import { runCommand } from '../src/setup/run-command.ts';
import type { LayerEntry } from '../src/testing/layers.ts';
import { writeOciImage } from '../src/testing/oci-image.ts';
import { contentsOf } from './folder-contents.ts';

/** What every image has that a run could use. */
export const pulumi: LayerEntry[] = [
  { folder: 'usr' },
  { folder: 'usr/bin' },
  { file: 'usr/bin/pulumi', content: '#!/bin/sh\n', mode: 0o755 },
];

/** A place to convert an image, called `the-image`, and to look at what comes of it. */
export class TestConversion implements AsyncDisposable {
  readonly #folder: string;

  private constructor(folder: string) {
    this.#folder = folder;
  }

  static async create(): Promise<TestConversion> {
    return new TestConversion(await mkdtemp(join(tmpdir(), 'slipway-conversion-')));
  }

  get device(): string {
    return join(this.#folder, 'root.erofs');
  }

  /** Converts layers into `device`. */
  async convert(layers: readonly Buffer[], limits: Partial<typeof usualLimits> = {}): Promise<void> {
    const image = await writeOciImage(join(this.#folder, 'layout'), { layers });
    await convert(
      { reference: 'the-image', digest: image.digest, layers: image.layers, searchPath: undefined, user: '' },
      this.device,
      { limits: { ...usualLimits, ...limits } },
    );
  }

  /** What the device holds, as the kernel reads it; `fsck.erofs` has no objection to it. */
  async mounted<T>(look: (root: string) => T): Promise<T> {
    await runCommand(['fsck.erofs', this.device]);
    const mountPoint = join(this.#folder, 'mounted');
    await mkdir(mountPoint);
    await runCommand(['mount', '-t', 'erofs', '-o', 'loop,ro', this.device, mountPoint]);
    try {
      return look(mountPoint);
    } finally {
      await runCommand(['umount', mountPoint]);
      await rmdir(mountPoint);
    }
  }

  /** The same layers as umoci unpacks them, with root rights. */
  async unpackedByUmoci(layers: readonly Buffer[]): Promise<Map<string, object>> {
    const [reference, bundle] = [join(this.#folder, 'reference'), join(this.#folder, 'bundle')];
    await writeOciImage(reference, { layers });
    await runCommand(['umoci', 'unpack', '--image', `${reference}:image`, bundle]);
    return contentsOf(join(bundle, 'rootfs'));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.#folder, { recursive: true });
  }
}
