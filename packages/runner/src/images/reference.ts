import { canonicalName, repositoryOf } from '@slipway/core';
import { ImageUnavailableError } from './image-unavailable.ts';

/** Where the image of a reference comes from. */
export type ImageSource =
  /** Built on this host; it never comes from a registry. */
  { readonly kind: 'local' } | RegistrySource;

export interface RegistrySource {
  readonly kind: 'registry';
  /** Host, and port where it has one, as it is written: by that the host's logins are known. */
  readonly registry: string;
  /** Within the registry. */
  readonly path: string;
  /** Both, in one spelling for all: what came from it is kept under this name. */
  readonly repository: string;
  readonly tag: string;
  /** Set where the reference names one content for ever. A tag beside it is for people only. */
  readonly digest: string | undefined;
  /** A registry on this host may speak plain HTTP, as with other container tools. */
  readonly onLoopback: boolean;
}

const shape =
  /^(?<name>(?:(?:[a-zA-Z0-9-]+(?:\.[a-zA-Z0-9-]+)+(?::\d{1,5})?|[a-zA-Z0-9-]+:\d{1,5})\/)?[a-z0-9]+(?:[._/-]+[a-z0-9]+)*)(?::(?<tag>[\w][\w.-]{0,127}))?(?:@(?<digest>sha256:[0-9a-f]{64}))?$/;

/** Reads an image reference: `[registry/]repository[:tag][@sha256:…]`. Throws `ImageUnavailableError`. */
export function parseReference(reference: string): ImageSource {
  const parts = reference.length > 512 ? undefined : shape.exec(reference)?.groups;
  if (parts?.name === undefined) {
    throw new ImageUnavailableError(
      reference.slice(0, 512),
      'this is not an image reference; write it as [registry/]repository[:tag] or [registry/]repository@sha256:…',
    );
  }
  const { name, tag = 'latest', digest } = parts;
  if (name.startsWith('localhost/')) return { kind: 'local' };
  const place = repositoryOf(name);
  const onLoopback = /^(localhost|127(\.\d{1,3}){3}):\d+$/i.test(place.registry);
  return { kind: 'registry', ...place, repository: canonicalName(place), tag, digest, onLoopback };
}
