import { createHash } from 'node:crypto';
import type { RegistryCredentials } from '@slipway/core';
import { maximumLayers } from './convert/limits.ts';
import { ImageUnavailableError } from './image-unavailable.ts';
import { type ImageManifest, imageIndex, imageManifest } from './oci-layout.ts';
import type { PullNetwork } from './pull-network.ts';
import type { RegistrySource } from './reference.ts';
import { explainFailure, mayPass } from './registry-failure.ts';
import type { RegistryLogins } from './registry-login.ts';
import { authenticationPath, runSkopeo, type SkopeoCall, SkopeoFailed } from './skopeo.ts';

const askTimeoutMilliseconds = 60_000;
const attempts = 3;
const betweenAttemptsMilliseconds = 1_000;
/** Sum of the packed layers of an image, at most. */
const maximumPackedBytes = 20 * 1024 ** 3;

/** An image as somebody asks for it. */
export interface Request {
  /** As the user wrote it. */
  readonly reference: string;
  readonly source: RegistrySource;
  /** Of the run's settings; null where they name none. */
  readonly credentials: RegistryCredentials | null;
}

export interface FoundImage {
  /** Of the manifest for linux/amd64. */
  readonly digest: string;
  /** Asks the registry for it, where that was not needed to find it. Throws `ImageUnavailableError`. */
  manifest(): Promise<ImageManifest>;
}

/** Asks registries, with skopeo. */
export class Registry {
  readonly #network: PullNetwork;
  readonly #logins: RegistryLogins;

  constructor(network: PullNetwork, logins: RegistryLogins) {
    this.#network = network;
    this.#logins = logins;
  }

  /** The image for linux/amd64 behind a reference. Throws `ImageUnavailableError`. */
  async find(request: Request): Promise<FoundImage> {
    const { reference, source } = request;
    const raw = await this.#ask(request, source.digest ?? source.tag);
    const index = imageIndex.safeParse(parse(raw));
    if (!index.success) {
      const manifest = checked(reference, raw);
      return { digest: digestOf(raw), manifest: async () => manifest };
    }
    const platforms = index.data.manifests.flatMap(({ digest, platform }) =>
      platform && platform.os !== 'unknown' ? [{ digest, ...platform }] : [],
    );
    const ours = platforms.find(({ os, architecture }) => os === 'linux' && architecture === 'amd64');
    if (ours) {
      const { digest } = ours;
      return { digest, manifest: async () => checked(reference, await this.#ask(request, digest)) };
    }
    const offered = platforms.map(({ os, architecture }) => `${os}/${architecture}`).join(', ');
    throw new ImageUnavailableError(
      reference,
      `image is ${offered || 'for no known platform'}, this runner is linux/amd64; build it for linux/amd64 too.`,
    );
  }

  /** Copies an image to an OCI layout, called `image`, and its blobs to a folder; those that are there are not fetched. */
  async copy(
    request: Request,
    digest: string,
    target: { readonly layout: string; readonly blobs: string; readonly maximumFileBytes: number },
    signal: AbortSignal,
  ): Promise<void> {
    const { maximumFileBytes } = target;
    await this.#skopeo(request, { maximumFileBytes, signal }, (withLogin) => [
      ...['copy', '--quiet', '--dest-shared-blob-dir', target.blobs],
      ...(withLogin ? ['--src-authfile', authenticationPath] : []),
      ...(request.source.onLoopback ? ['--src-tls-verify=false'] : []),
      ...[address(request.source, digest), `oci:${target.layout}:image`],
    ]);
  }

  /** A manifest or index as it is. skopeo does not compare it with the digest that it was asked for by. */
  async #ask(request: Request, tagOrDigest: string): Promise<string> {
    const signal = AbortSignal.timeout(askTimeoutMilliseconds);
    const raw = await this.#skopeo(request, { signal }, (withLogin) => [
      ...['inspect', '--raw'],
      ...(withLogin ? ['--authfile', authenticationPath] : []),
      ...(request.source.onLoopback ? ['--tls-verify=false'] : []),
      address(request.source, tagOrDigest),
    ]);
    if (!tagOrDigest.startsWith('sha256:') || digestOf(raw) === tagOrDigest) return raw;
    throw new ImageUnavailableError(
      request.reference,
      'what the registry sent is not what its digest says. Something on the way, or the registry, damages it.',
    );
  }

  async #skopeo(
    { reference, source, credentials }: Request,
    options: Pick<SkopeoCall, 'maximumFileBytes' | 'signal'>,
    argv: (withLogin: boolean) => readonly string[],
  ): Promise<string> {
    await using way = await this.#network.to(reference, source.registry);
    const login = await this.#logins.loginAt(source.registry, credentials);
    const call = {
      ...options,
      enter: way.enter,
      login: login && { registry: source.registry, credentials: login },
      argv: argv(login !== null),
    };
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await runSkopeo(call);
      } catch (error) {
        if (error instanceof DOMException && error.name === 'TimeoutError') throw notAnswering(reference);
        if (!(error instanceof SkopeoFailed)) throw error;
        if (attempt === attempts || !mayPass(error))
          throw explainFailure(reference, error, {
            isClosed: way.isClosed,
            loginRemark: this.#logins.remarkAbout(source.registry),
          });
        await new Promise((resolve) => setTimeout(resolve, attempt * betweenAttemptsMilliseconds));
      }
    }
  }
}

function address({ registry, path }: RegistrySource, tagOrDigest: string): string {
  return `docker://${registry}/${path}${tagOrDigest.startsWith('sha256:') ? '@' : ':'}${tagOrDigest}`;
}

function parse(raw: string): unknown {
  try {
    return JSON.parse(raw);
  } catch {
    return undefined;
  }
}

function checked(reference: string, raw: string): ImageManifest {
  const parsed = imageManifest.safeParse(parse(raw));
  if (!parsed.success) {
    throw new ImageUnavailableError(
      reference,
      'the registry answers something that is no image of the OCI or Docker kind; push it again with a current tool.',
    );
  }
  const manifest = parsed.data;
  const packedBytes = manifest.layers.reduce((sum, { size }) => sum + size, 0);
  const inGiB = (bytes: number) => (bytes / 1024 ** 3).toFixed(1);
  if (packedBytes > maximumPackedBytes) {
    throw new ImageUnavailableError(
      reference,
      `its layers have ${inGiB(packedBytes)} GiB, more than the ${inGiB(maximumPackedBytes)} GiB allowed; make it smaller.`,
    );
  }
  if (manifest.layers.length > maximumLayers) {
    throw new ImageUnavailableError(
      reference,
      `it has ${manifest.layers.length} layers, more than the ${maximumLayers} allowed; put some together.`,
    );
  }
  return manifest;
}

/** The digest of a manifest is that of its bytes. */
function digestOf(raw: string): string {
  return `sha256:${createHash('sha256').update(raw).digest('hex')}`;
}

function notAnswering(reference: string): ImageUnavailableError {
  const seconds = askTimeoutMilliseconds / 1000;
  return new ImageUnavailableError(
    reference,
    `the registry did not answer within ${seconds} s. Check it, and network and proxy of the runner host.`,
  );
}
