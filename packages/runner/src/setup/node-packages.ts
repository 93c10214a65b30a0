import { copyFile, mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { contentKey } from './content-key.ts';
import { makeOnce } from './make-once.ts';
import { registryEnvironment } from './registry-environment.ts';
import { repositoryPath } from './repository.ts';
import { runCommand } from './run-command.ts';
import type { SetUpOptions } from './set-up-options.ts';

const manifests = ['package.json', 'package-lock.json'].map((name) =>
  repositoryPath(`images/default/${name}`),
);

/** What `ensureNodePackages` depends on, as parts of a key. */
export function nodePackagesInputs(): Promise<string[]> {
  return Promise.all(manifests.map((path) => readFile(path, 'utf8')));
}

/** The `node_modules` folder of the default image's npm packages, as its lock file names them. */
export async function ensureNodePackages({ cacheDirectory, report }: SetUpOptions): Promise<string> {
  const folder = join(cacheDirectory, 'node-packages', contentKey(await nodePackagesInputs()));
  await makeOnce(folder, async (partialFolder) => {
    report('installing npm packages of the default image …');
    await mkdir(partialFolder, { recursive: true });
    for (const path of manifests)
      await copyFile(path, join(partialFolder, path.slice(path.lastIndexOf('/') + 1)));
    // No package of these needs its install script.
    await runCommand(['npm', 'ci', '--ignore-scripts', '--no-fund', '--no-audit', '--loglevel=error'], {
      report,
      workingDirectory: partialFolder,
      environment: registryEnvironment(),
    });
  });
  return join(folder, 'node_modules');
}
