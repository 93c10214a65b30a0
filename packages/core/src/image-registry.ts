/** The registry that an image without one in its name comes from. */
const usualRegistry = 'docker.io';

/** The registry of an image reference (`[registry/]repository[:tag][@digest]`), with its port where it has one. */
export function registryOf(reference: string): string {
  const [first = '', ...rest] = reference.split('/');
  const isRegistry = rest.length > 0 && (/[.:]/.test(first) || first === 'localhost');
  return isRegistry ? first : usualRegistry;
}
