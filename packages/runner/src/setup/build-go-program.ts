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
  { cacheDirectory, report, progress }: SetUpOptions,
): Promise<void> {
  await makeOnce(path, async (partialPath) => {
    const go = await ensureGoToolchain({ cacheDirectory, report });
    const source = join(dirname(path), 'source');
    // Go wants to own the folder of the module that it builds; the repository stays as it is.
    await mkdir(source, { recursive: true });
    for (const file of ['go.mod', 'go.sum', 'tools.go'])
      await copyFile(repositoryPath(`${module}/${file}`), join(source, file));
    report(`building ${name} ${version} (some minutes) …`);
    // No C: the program must run anywhere, with glibc or without.
    const environment = { ...registryEnvironment(), CGO_ENABLED: '0', GOFLAGS: '-buildvcs=false' };
    const flags = ['-mod=readonly', '-trimpath'];
    // Those that are to be compiled: not what Go's own cache has. Fetches the modules.
    const listed = await runCommand(
      [go, 'list', ...flags, '-deps', '-f', '{{if .Stale}}{{.ImportPath}}{{end}}', importPath],
      { report: (line) => line.startsWith('go: ') && report(line), workingDirectory: source, environment },
    );
    const left = new Set(listed.split('\n').filter((line) => line !== ''));
    const total = left.size;
    await runCommand(
      [
        ...['nice', '-n', '5', go, 'build', '-v', ...flags],
        ...['-ldflags', linkerFlags, '-o', partialPath, importPath],
      ],
      {
        report: (line) => {
          if (!left.delete(line)) return report(line);
          progress?.({ stage: `Building ${name}`, done: total - left.size, total, unit: 'packages' });
        },
        ...{ workingDirectory: source, environment },
      },
    );
    await rm(source, { recursive: true });
  });
}
