import { join } from 'node:path';
import { buildGoProgram } from './build-go-program.ts';
import { findOnPath } from './path-search.ts';
import type { SetUpOptions } from './set-up-options.ts';

/** The version that is built where no `pulumi` is installed; the same as in images/default/pulumi-cli/go.mod. */
export const pulumiVersion = '3.259.0';

/**
 * Path of a `pulumi` program: the one on PATH, else the one in the cache, else it is built from the Go module registry
 * (some minutes, about 3 GB of modules and build cache). Throws when there is neither a Go toolchain nor a way to one.
 */
export async function ensurePulumiCli(options: SetUpOptions): Promise<string> {
  return (await findOnPath('pulumi')) ?? ensureBuiltPulumiCli(options);
}

/** As `ensurePulumiCli`, whatever is on PATH: the default image needs a program that runs without the host's libraries. */
export async function ensureBuiltPulumiCli(options: SetUpOptions): Promise<string> {
  const path = join(options.cacheDirectory, 'pulumi', pulumiVersion, 'pulumi');
  const program = {
    name: 'pulumi',
    version: pulumiVersion,
    importPath: 'github.com/pulumi/pulumi/pkg/v3/cmd/pulumi',
    module: 'images/default/pulumi-cli',
    linkerFlags: `-s -w -X github.com/pulumi/pulumi/sdk/v3/go/common/version.Version=v${pulumiVersion}`,
  };
  await buildGoProgram(path, program, options);
  return path;
}
