import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { InstallDependenciesResponse } from '@pulumi/pulumi/proto/language_pb.js';
import { ended, startChild } from './children.js';
import { runtimeOptions } from './options.js';
import { upwards } from './packages.js';

/** Package managers, the lock file by which each is recognised, and how it installs. */
const packageManagers = {
  npm: { lockFile: 'package-lock.json', install: ['install', '--loglevel=error', '--no-fund', '--no-audit'] },
  yarn: { lockFile: 'yarn.lock', install: ['install'] },
  pnpm: { lockFile: 'pnpm-lock.yaml', install: ['install'] },
};

/** `InstallDependencies`, for `pulumi install`: streams what the package manager prints. */
export async function installDependencies(request, write, signal) {
  const directory = request.getInfo()?.getProgramDirectory() || request.getDirectory();
  const name = runtimeOptions(request).packagemanager || recognise(directory);
  const manager = packageManagers[name];
  if (!manager) {
    throw new Error(
      `The package manager "${name}" is not known; use one of ${Object.keys(packageManagers)}.`,
    );
  }
  const child = startChild(name, manager.install, { cwd: directory, stdio: ['ignore', 'pipe', 'pipe'] });
  signal.addEventListener('abort', () => child.kill('SIGTERM'));
  child.stdout.on('data', (chunk) => write(new InstallDependenciesResponse().setStdout(chunk)));
  child.stderr.on('data', (chunk) => write(new InstallDependenciesResponse().setStderr(chunk)));
  const end = await ended(child).catch((error) => {
    throw error.code === 'ENOENT'
      ? new Error(`${name} is not installed here; install it, or remove ${manager.lockFile} to use npm.`)
      : error;
  });
  if (end.code !== 0)
    throw new Error(`\`${name} install\` failed (${end.signal ?? `exit code ${end.code}`}).`);
}

/** By the nearest lock file; npm where there is none. */
function recognise(directory) {
  for (const folder of upwards(directory)) {
    for (const [name, { lockFile }] of Object.entries(packageManagers)) {
      if (existsSync(join(folder, lockFile))) return name;
    }
  }
  return 'npm';
}
