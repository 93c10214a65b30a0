import { fileURLToPath } from 'node:url';

/** A path in this repository. */
export function repositoryPath(path: string): string {
  return fileURLToPath(new URL(`../../../../${path}`, import.meta.url));
}

/** The Node that this repository brings along: it runs Slipway, the executor and the programs in the default image. */
export const nodePath = repositoryPath('node_modules/node/bin/node');
