import { copyFile, mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { ensureGoToolchain } from './go-toolchain.ts';
import { makeOnce } from './make-once.ts';
import { findOnPath } from './path-search.ts';
import { registryEnvironment } from './registry-environment.ts';
import { repositoryPath } from './repository.ts';
import { runCommand } from './run-command.ts';
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
export async function ensureBuiltPulumiCli({ cacheDirectory, report }: SetUpOptions): Promise<string> {
  const path = join(cacheDirectory, 'pulumi', pulumiVersion, 'pulumi');
  await makeOnce(path, async (partialPath) => {
    const go = await ensureGoToolchain({ cacheDirectory, report });
    const source = join(cacheDirectory, 'pulumi', pulumiVersion, 'source');
    await copyModule(source);
    report(`building pulumi ${pulumiVersion} (some minutes) …`);
    const versionVariable = 'github.com/pulumi/pulumi/sdk/v3/go/common/version.Version';
    await runCommand(
      [
        ...['nice', '-n', '5', go, 'build', '-mod=readonly', '-trimpath'],
        ...['-ldflags', `-s -w -X ${versionVariable}=v${pulumiVersion}`],
        ...['-o', partialPath, 'github.com/pulumi/pulumi/pkg/v3/cmd/pulumi'],
      ],
      {
        report,
        workingDirectory: source,
        // No C: the program must run in any image, with glibc or without.
        environment: { ...registryEnvironment(), CGO_ENABLED: '0', GOFLAGS: '-buildvcs=false' },
      },
    );
    await rm(source, { recursive: true });
  });
  return path;
}

/** Go wants to own the folder of the module that it builds; the repository stays as it is. */
async function copyModule(target: string): Promise<void> {
  await mkdir(target, { recursive: true });
  for (const name of ['go.mod', 'go.sum', 'tools.go']) {
    await copyFile(repositoryPath(`images/default/pulumi-cli/${name}`), join(target, name));
  }
}
