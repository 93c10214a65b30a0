import { createHash } from 'node:crypto';
import { utimes } from 'node:fs/promises';
import { join } from 'node:path';
import type { RegistryCredentials } from '@slipway/core';
import { exists } from '../setup/make-once.ts';
import type { ConversionLimits } from './convert/limits.ts';
import { type EvictionOptions, evict, sweep } from './eviction.ts';
import { Holders } from './holders.ts';
import type { Image } from './image.ts';
import { type ImageRecord, readRecord } from './image-record.ts';
import { ImageUnavailableError } from './image-unavailable.ts';
import { keepMeaning, readMeaning } from './index-meanings.ts';
import { readLocalDigest } from './local-images.ts';
import { makeImage } from './make-image.ts';
import { type ImageManifest, readLayout } from './oci-layout.ts';
import { type PreparationFailure, PreparationFailures } from './preparation-failures.ts';
import { keepLayers, pull } from './pull.ts';
import { hostNetwork, type PullNetwork } from './pull-network.ts';
import { parseReference, type RegistrySource } from './reference.ts';
import { Registry, type Request } from './registry.ts';
import { type RegistryLogins, registryLogins } from './registry-login.ts';
import { deviceName, recordName, StoreFolder } from './store-folder.ts';

export interface ImageStore {
  /**
   * The image behind a reference, ready to be attached, and kept until it is released: `localhost/…` was built on this
   * host, everything else comes from a registry. A tag is looked up each time; what its digest stands for is fetched and
   * converted once for each repository. Throws `ImageUnavailableError`, or `HostDiskFull`.
   */
  resolve(reference: string, options?: ResolveOptions): Promise<HeldImage>;
  /** Keeps, for the host's `image ls`, why an image could not be made ready ahead of time, until it is had or forgotten. */
  noteFailure(failure: PreparationFailure): Promise<void>;
  /** Nobody wants the image any more. */
  forgetFailure(reference: string): Promise<void>;
  /** Ends what the store holds. */
  close(): Promise<void>;
}

export interface ResolveOptions {
  /** The login that the settings of a run name; null or absent where they name none. */
  readonly credentials?: RegistryCredentials | null;
  /** No run wants it yet: where it is not here, it is refused rather than that it pushes out what this spares. */
  readonly aheadOfTime?: { readonly spares: (image: ImageName) => boolean };
  /** Ends the fetching and converting that this call has begun. */
  readonly signal?: AbortSignal;
  /** Gets how far an image is that has to be fetched and converted. */
  readonly progress?: (progress: ImageProgress) => void;
}

/** By which reference an image was stored, and what it is. */
export type ImageName = Pick<ImageRecord, 'reference' | 'digest'>;

export interface ImageProgress {
  readonly stage: 'fetching' | 'converting';
  readonly bytes: number;
  /** Absent where nobody knows. */
  readonly totalBytes?: number;
}

/** An image that stays until it is released. */
export interface HeldImage extends Image {
  release(): Promise<void>;
}

export interface ImageStoreOptions {
  readonly cacheDirectory: string;
  /** Gets lines about what the store does. */
  readonly report?: (line: string) => void;
  /** Size above which images are removed that nobody uses, those that were not used for the longest time first. */
  readonly limitBytes?: number;
  readonly network?: PullNetwork;
  readonly logins?: RegistryLogins;
  /** A registry that sends nothing for so long has stopped. */
  readonly stallMilliseconds?: number;
  readonly conversionLimits?: ConversionLimits;
}

interface ImageToFetch {
  readonly digest: string;
  readonly manifest: ImageManifest;
}

export const usualLimitBytes = 50 * 1024 ** 3;
/** Part of the limit above which nothing is fetched that no run wants yet. */
const nearlyFull = 0.9;
const usualStallMilliseconds = 60_000;
/** An image that is removed between being made and being held is made again, so often. */
const attempts = 3;

export function createImageStore(options: ImageStoreOptions): ImageStore {
  return new CachedImages(options);
}

class CachedImages implements ImageStore {
  readonly #options: ImageStoreOptions;
  readonly #store: StoreFolder;
  readonly #holders: Holders;
  readonly #failures: PreparationFailures;
  readonly #network: PullNetwork;
  readonly #registry: Registry;
  /** Whom a registry has let fetch which digest, since this process began. */
  readonly #admitted = new Set<string>();
  #swept: Promise<void> | undefined;
  #makingRoom: Promise<unknown> = Promise.resolve();

  constructor(options: ImageStoreOptions) {
    this.#options = options;
    this.#store = new StoreFolder(options.cacheDirectory);
    this.#holders = new Holders(this.#store.holders);
    this.#failures = new PreparationFailures(this.#store);
    this.#network = options.network ?? hostNetwork;
    this.#registry = new Registry(this.#network, options.logins ?? registryLogins());
  }

  async resolve(reference: string, options: ResolveOptions = {}): Promise<HeldImage> {
    const held = await this.#resolve(reference, options);
    // What cannot be removed is outdated, and that is all.
    await this.#failures.clear(reference).catch(() => undefined);
    return held;
  }

  noteFailure(failure: PreparationFailure): Promise<void> {
    return this.#failures.note(failure);
  }

  forgetFailure(reference: string): Promise<void> {
    return this.#failures.clear(reference);
  }

  async #resolve(reference: string, options: ResolveOptions): Promise<HeldImage> {
    this.#swept ??= this.#sweep();
    await this.#swept;
    const source = parseReference(reference);
    if (source.kind === 'local') {
      const held = await this.#hold(reference, await readLocalDigest(this.#store, reference), null);
      if (held) return held;
      throw new ImageUnavailableError(
        reference,
        `its files in ${this.#store.devices} are gone; build it again with \`./slipway image build\`.`,
      );
    }
    const request = { reference, source, credentials: options.credentials ?? null };
    return (await this.#holdKnown(request)) ?? this.#fetch(request, options);
  }

  async close(): Promise<void> {
    await this.#makingRoom;
    await this.#network.close();
    await this.#holders.close();
  }

  /** A digest stands for the same content for ever: what is here needs no registry. */
  async #holdKnown(request: Request): Promise<HeldImage | undefined> {
    const { digest } = request.source;
    if (digest === undefined) return undefined;
    return this.#holdAllowed(request, (await readMeaning(this.#store, digest)) ?? digest);
  }

  /**
   * What is here is for those alone whom the registry lets have it: the host, and a login that it has let have it before.
   * That it names the digest, or knows the manifest, is not enough: anybody's registry can. What is here is that which
   * the same repository has delivered.
   */
  async #holdAllowed(
    { reference, source, credentials }: Request,
    digest: string,
  ): Promise<HeldImage | undefined> {
    const record = await readRecord(this.#store.device(digest, source.repository));
    if (!record) return undefined;
    if (!record.isOpen && !this.#admitted.has(admission(source, digest, credentials))) return undefined;
    return this.#hold(reference, digest, source.repository);
  }

  async #fetch(request: Request, options: ResolveOptions): Promise<HeldImage> {
    const { reference, source, credentials } = request;
    const found = await this.#registry.find(request);
    if (source.digest !== undefined && source.digest !== found.digest) {
      await keepMeaning(this.#store, source.digest, found.digest);
    }
    const known = await this.#holdAllowed(request, found.digest);
    if (known) return known;
    const image = { digest: found.digest, manifest: await found.manifest() };
    this.#admitted.add(admission(source, image.digest, credentials));
    for (let attempt = 1; attempt <= attempts; attempt += 1) {
      const isNew = await this.#make(request, image, options);
      const held = await this.#hold(reference, image.digest, source.repository);
      if (held && isNew) await this.#makeRoom();
      if (held) return held;
    }
    throw new ImageUnavailableError(
      reference,
      'the image cache is too small for it; give the runner a larger one.',
    );
  }

  async #make(request: Request, found: ImageToFetch, options: ResolveOptions): Promise<boolean> {
    const { reference, source, credentials } = request;
    const { progress, signal, aheadOfTime } = options;
    const { conversionLimits: limits, stallMilliseconds = usualStallMilliseconds, report } = this.#options;
    return makeImage(
      this.#store,
      { reference, digest: found.digest, repository: source.repository, isOpen: credentials === null },
      async (folder) => {
        if (aheadOfTime) await this.#makeSpareRoom(reference, aheadOfTime);
        report?.(`Fetching the executor image ${reference} (${found.digest})`);
        await pull(this.#registry, this.#store, { request, ...found }, folder, {
          stallMilliseconds,
          signal,
          progress: (bytes, totalBytes) => progress?.({ stage: 'fetching', bytes, totalBytes }),
        });
        const laidOut = { layout: join(folder, 'layout'), blobs: join(folder, 'blobs') };
        const { manifest } = await readLayout(laidOut.layout, laidOut.blobs);
        const layers = manifest.layers.map(({ digest }) => join(laidOut.blobs, ...digest.split(':')));
        await keepLayers(this.#store, source, layers);
        report?.(`Converting the executor image ${reference}`);
        return laidOut;
      },
      { limits, signal, progress: (bytes) => progress?.({ stage: 'converting', bytes }) },
    );
  }

  /** What is spared is not removed for a run that may never come: else those that do not fit together took turns. */
  async #makeSpareRoom(
    reference: string,
    aheadOfTime: NonNullable<ResolveOptions['aheadOfTime']>,
  ): Promise<void> {
    const { limitBytes = usualLimitBytes } = this.#options;
    const usedBytes = await this.#makeRoom(limitBytes * nearlyFull, aheadOfTime);
    if (usedBytes <= limitBytes * nearlyFull) return;
    const inGiB = (bytes: number) => (bytes / 1024 ** 3).toFixed(1);
    throw new ImageUnavailableError(
      reference,
      `it waits for a run that wants it, as the image cache is nearly full (${inGiB(usedBytes)} of ${inGiB(limitBytes)} GiB) ` +
        'of images that runs use, that settings name or that were built here. Give the runner a larger one (--image-cache-gib).',
    );
  }

  /** Undefined when the image is not in the store (any more). */
  async #hold(reference: string, digest: string, repository: string | null): Promise<HeldImage | undefined> {
    const folder = this.#store.device(digest, repository);
    const path = await this.#holders.hold(join(folder, deviceName));
    const record = path && (await readRecord(folder));
    if (!record) {
      if (path) await this.#holders.release(path);
      return undefined;
    }
    const now = new Date();
    await utimes(join(folder, recordName), now, now).catch(() => undefined);
    return {
      ...{ reference, digest, erofsPath: path, config: record.config },
      release: () => this.#release(path),
    };
  }

  /** What did not fit while it was in use goes now; nobody waits for that. */
  async #release(path: string): Promise<void> {
    await this.#holders.release(path);
    this.#makingRoom = this.#makingRoom
      .then(() => this.#makeRoom())
      .catch((error: unknown) => {
        this.#options.report?.(`The image cache could not be made smaller: ${String(error)}`);
      });
  }

  /** Answers the bytes that the store takes then. */
  async #makeRoom(
    limitBytes = this.#options.limitBytes ?? usualLimitBytes,
    options: EvictionOptions = {},
  ): Promise<number> {
    await this.#holders.sweep();
    const { freedBytes, usedBytes } = await evict(this.#store, limitBytes, options);
    if (freedBytes > 0) {
      this.#options.report?.(`Removed ${(freedBytes / 1024 ** 3).toFixed(1)} GiB of images that nobody used`);
    }
    return usedBytes;
  }

  async #sweep(): Promise<void> {
    if (!(await exists(this.#store.root))) return;
    await sweep(this.#store);
    await this.#holders.sweep();
  }
}

/** Names who was let have what; of a password only a hash is kept. */
function admission(
  { repository }: RegistrySource,
  digest: string,
  credentials: RegistryCredentials | null,
): string {
  const who = credentials && createHash('sha256').update(JSON.stringify(credentials)).digest('hex');
  return `${repository} ${digest} ${who ?? 'host'}`;
}
