import { cp, mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { run } from './run.ts';

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
  const complete = await run(['git', '-C', workingDirectory, 'rev-parse', 'origin/main']).then(
    () => true,
    () => false,
  );
  if (complete) return { bareDirectory, workingDirectory };

  await rm(bareDirectory, { recursive: true, force: true });
  await rm(workingDirectory, { recursive: true, force: true });
  await run(['git', 'init', '--quiet', '--bare', '--initial-branch=main', bareDirectory]);
  await cp(examplesDirectory, workingDirectory, {
    recursive: true,
    filter: (path) => !path.includes('node_modules'),
  });
  await run(['git', 'init', '--quiet', '--initial-branch=main', workingDirectory]);
  await run(['git', '-C', workingDirectory, 'remote', 'add', 'origin', bareDirectory]);
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
  await run([...git, 'add', '--all']);
  const { stdout } = await run([...git, 'status', '--porcelain']);
  if (stdout !== '') await run([...git, 'commit', '--quiet', '--message', message]);
  await run([...git, 'push', '--quiet', '--set-upstream', 'origin', 'main']);
}
