import { cp, mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { runCommand } from '@slipway/runner';

const examplesDirectory = join(import.meta.dirname, '..', '..', '..', '..', 'examples');

/** The examples as a git repository of the user's own, to change and deploy. */
export interface ExampleRepository {
  /** Bare repository: what the control plane serves at `/examples.git`. */
  readonly bareDirectory: string;
  /** Working copy: `git push` brings changes into the next deployment. */
  readonly workingDirectory: string;
}

/** Makes both below `directory`; a working copy that is there already is kept as the user left it. */
export async function makeExampleRepository(directory: string): Promise<ExampleRepository> {
  const bareDirectory = join(directory, 'examples.git');
  const workingDirectory = join(directory, 'examples');
  await mkdir(directory, { recursive: true, mode: 0o700 });
  const complete = await runCommand(['git', '-C', workingDirectory, 'rev-parse', 'origin/main']).then(
    () => true,
    () => false,
  );
  if (complete) return { bareDirectory, workingDirectory };

  await rm(bareDirectory, { recursive: true, force: true });
  await rm(workingDirectory, { recursive: true, force: true });
  await runCommand(['git', 'init', '--quiet', '--bare', '--initial-branch=main', bareDirectory]);
  await cp(examplesDirectory, workingDirectory, {
    recursive: true,
    filter: (path) => !path.includes('node_modules'),
  });
  await runCommand(['git', 'init', '--quiet', '--initial-branch=main', workingDirectory]);
  await runCommand(['git', '-C', workingDirectory, 'remote', 'add', 'origin', bareDirectory]);
  await commitAndPush(workingDirectory, 'Start from the examples of Slipway');
  return { bareDirectory, workingDirectory };
}

/** Commits everything in the working copy, where there is something, and pushes it. */
export async function commitAndPush(workingDirectory: string, message: string): Promise<void> {
  const git = [
    'git',
    '-C',
    workingDirectory,
    '-c',
    'user.name=Slipway',
    '-c',
    'user.email=slipway@localhost',
  ];
  await runCommand([...git, 'add', '--all']);
  const changes = await runCommand([...git, 'status', '--porcelain']);
  if (changes !== '') await runCommand([...git, 'commit', '--quiet', '--message', message]);
  await runCommand([...git, 'push', '--quiet', '--set-upstream', 'origin', 'main']);
}
