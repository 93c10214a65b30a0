import { join } from 'node:path';
import { buildGoProgram } from './build-go-program.ts';
import { exists } from './make-once.ts';
import { findOnPath } from './path-search.ts';
import type { SetUpOptions } from './set-up-options.ts';

/** The version that is built where no `runsc` is installed; the same as in guest/gvisor/go.mod. */
export const gvisorVersion = '20260905.0';

/**
 * Path of gVisor's `runsc`: the one on PATH, else the one in the cache, else it is built from the Go module registry (some
 * minutes). Throws when there is neither a Go toolchain nor a way to one.
 */
export async function ensureGvisor(options: SetUpOptions): Promise<string> {
  return (await findGvisor(options.cacheDirectory)) ?? build(options);
}

/** The same, where it is there already. */
export async function findGvisor(cacheDirectory: string): Promise<string | undefined> {
  const path = pathIn(cacheDirectory);
  return (await findOnPath('runsc')) ?? ((await exists(path)) ? path : undefined);
}

function pathIn(cacheDirectory: string): string {
  return join(cacheDirectory, 'gvisor', gvisorVersion, 'runsc');
}

async function build(options: SetUpOptions): Promise<string> {
  const path = pathIn(options.cacheDirectory);
  const program = {
    name: 'gVisor',
    version: gvisorVersion,
    importPath: 'gvisor.dev/gvisor/runsc',
    module: 'guest/gvisor',
    linkerFlags: `-s -w -X gvisor.dev/gvisor/runsc/version.version=release-${gvisorVersion}`,
  };
  await buildGoProgram(path, program, options);
  return path;
}
