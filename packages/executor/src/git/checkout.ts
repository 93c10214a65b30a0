import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { CommandEnd } from '../command.ts';
import { StepFailure } from '../step.ts';
import type { Git } from './git.ts';
import { explainGitFailure } from './git-failure.ts';
import { describeRevision, localBranch, type Revision } from './revision.ts';

/** Enough history for Pulumi, which records the commit; quick for any repository. */
const shallow = '--depth=1';

const everything = ['+refs/heads/*:refs/remotes/origin/*', '+refs/tags/*:refs/tags/*'];

/** The server knows no such reference, or does not hand out commits by their hash. */
const notThere = /couldn't find remote ref|not our ref|unadvertised object|Server does not allow/;

/**
 * Fetches `revision` from `url` and checks it out, with its submodules, in the folder that `git` works in.
 * Throws a `StepFailure` that names the repository and what is missing in it.
 */
export async function checkOut(git: Git, url: string, revision: Revision): Promise<void> {
  const read = (end: CommandEnd) => {
    if (end.exitCode !== 0) throw explainGitFailure(`The repository ${url}`, end);
  };
  if (revision.kind === 'default-branch') {
    read(await git.run('clone', '--quiet', shallow, '--', url, '.'));
  } else {
    read(await git.run('init', '--quiet'));
    read(await git.run('remote', 'add', 'origin', url));
    read(await fetchRevision(git, revision, missing(url, revision)));
    const branch = revision.kind === 'commit' ? revision.branch : localBranch(revision.reference);
    const target = branch === null ? ['--detach'] : ['-B', branch];
    const commit = revision.kind === 'commit' ? revision.commit : 'FETCH_HEAD';
    read(await git.run('checkout', '--quiet', '--force', ...target, commit, '--'));
  }
  read(await git.run('log', '-1', '--format=Checked out %h %s'));
  await updateSubmodules(git, url);
}

async function fetchRevision(
  git: Git,
  revision: Exclude<Revision, { kind: 'default-branch' }>,
  absent: StepFailure,
): Promise<CommandEnd> {
  const name = revision.kind === 'commit' ? revision.commit : revision.reference;
  const fetched = await git.run('fetch', '--quiet', shallow, 'origin', name);
  if (fetched.exitCode === 0 || !saysNotThere(fetched)) return fetched;
  if (revision.kind === 'reference') throw absent;
  // Abbreviated, or on a server that hands out references only: it is somewhere in the history, or nowhere.
  const all = await git.run('fetch', '--quiet', 'origin', ...everything);
  if (all.exitCode !== 0) return all;
  const found = await git.run('cat-file', '-e', `${revision.commit}^{commit}`);
  if (found.exitCode !== 0) throw absent;
  return found;
}

function saysNotThere(end: CommandEnd): boolean {
  return end.lastLines.some((line) => notThere.test(line));
}

function missing(url: string, revision: Revision): StepFailure {
  return new StepFailure(
    'source-unavailable',
    `The repository ${url} has no ${describeRevision(revision)}. Correct it in the deployment settings.`,
  );
}

async function updateSubmodules(git: Git, url: string): Promise<void> {
  if (!existsSync(join(git.directory, '.gitmodules'))) return;
  const update = ['submodule', 'update', '--init', '--recursive', '--quiet'];
  const quick = await git.run(...update, shallow);
  // A server that hands out references only cannot give the recorded commit alone.
  const end = quick.exitCode === 0 ? quick : await git.run(...update);
  if (end.exitCode !== 0) throw explainGitFailure(`A submodule of the repository ${url}`, end);
}
