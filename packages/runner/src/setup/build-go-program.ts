import { copyFile, mkdir, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { ensureGoToolchain } from './go-toolchain.ts';
import { makeOnce } from './make-once.ts';
import { registryEnvironment } from './registry-environment.ts';
import { repositoryPath } from './repository.ts';
import { runCommand } from './run-command.ts';
import type { SetUpOptions } from './set-up-options.ts';

export interface GoProgram {
  /** For messages. */
  readonly name: string;
  readonly version: string;
  /** What is built. */
  readonly importPath: string;
  /** Folder of the repository with `go.mod`, `go.sum` and `tools.go`, which pin the program. */
  readonly module: string;
  readonly linkerFlags: string;
}

/** Builds a program from the Go module registry, once, at `path`. Throws when there is neither Go nor a way to it. */
export async function buildGoProgram(
  path: string,
  { name, version, importPath, module, linkerFlags }: GoProgram,
  { cacheDirectory, report }: SetUpOptions,
): Promise<void> {
  await makeOnce(path, async (partialPath) => {
    const go = await ensureGoToolchain({ cacheDirectory, report });
    const source = join(dirname(path), 'source');
    // Go wants to own the folder of the module that it builds; the repository stays as it is.
    await mkdir(source, { recursive: true });
    for (const file of ['go.mod', 'go.sum', 'tools.go'])
      await copyFile(repositoryPath(`${module}/${file}`), join(source, file));
    report(`building ${name} ${version} (some minutes) …`);
    await runCommand(
      [
        ...['nice', '-n', '5', go, 'build', '-mod=readonly', '-trimpath'],
        ...['-ldflags', linkerFlags, '-o', partialPath, importPath],
      ],
      {
        report,
        workingDirectory: source,
        // No C: the program must run anywhere, with glibc or without.
        environment: { ...registryEnvironment(), CGO_ENABLED: '0', GOFLAGS: '-buildvcs=false' },
      },
    );
    await rm(source, { recursive: true });
  });
}
