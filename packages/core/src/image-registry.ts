/** The registry that an image without one in its name comes from, and how it was called before. */
const usualRegistry = 'docker.io';
const formerUsualRegistry = 'index.docker.io';

/** Where an image comes from. */
export interface ImageRepository {
  /** Host, as it is written, with its port where it has one. */
  readonly registry: string;
  readonly path: string;
}

/**
 * Reads the name of a repository (an image reference without tag and digest) as skopeo does
 * (containers/image: docker/reference/normalize.go).
 */
export function repositoryOf(name: string): ImageRepository {
  const [first = '', ...rest] = name.split('/');
  const namesRegistry = rest.length > 0 && (/[.:]/.test(first) || first === 'localhost');
  const [registry, path] = namesRegistry ? [first, rest.join('/')] : [usualRegistry, name];
  if (![usualRegistry, formerUsualRegistry].includes(canonicalHost(registry))) return { registry, path };
  return { registry: usualRegistry, path: path.includes('/') ? path : `library/${path}` };
}

/** One name for all spellings of a repository. */
export function canonicalName({ registry, path }: ImageRepository): string {
  return `${canonicalHost(registry)}/${path}`;
}

/** The registry of an image reference (`[registry/]repository[:tag][@digest]`), with its port where it has one. */
export function registryOf(reference: string): string {
  return repositoryOf(reference).registry;
}

/** Names of hosts know no case, and the port of HTTPS need not be said. */
function canonicalHost(registry: string): string {
  return registry.toLowerCase().replace(/:443$/, '');
}
