import type { GitSource } from '@slipway/core';
import { StepFailure } from '../step.ts';

/** What of a repository is to be checked out. */
export type Revision =
  | { readonly kind: 'default-branch' }
  /** A branch, a tag or another reference, by its full name. */
  | { readonly kind: 'reference'; readonly reference: string }
  /** A commit; `branch` is the name of the local branch to be on, if any. */
  | { readonly kind: 'commit'; readonly commit: string; readonly branch: string | null };

const branchPrefix = 'refs/heads/';
const tagPrefix = 'refs/tags/';

/** What git does not allow in the name of a reference (git-check-ref-format), as far as it could be taken for more. */
const invalidName = /[\s~^:?*[\\\p{Cc}]|\.\.|@\{|\/$|\.lock$|\/\/|^refs\/$/u;

const commitHash = /^[0-9a-f]{4,64}$/i;

/**
 * Branches and tags may be named in full; a commit may come with either, and then it is what counts.
 * Throws a `StepFailure` for what can be no name or no commit.
 */
export function revisionOf({ branch, tag, commit }: GitSource): Revision {
  const reference = fullName(branch, branchPrefix) ?? fullName(tag, tagPrefix);
  if (commit) {
    if (!commitHash.test(commit)) throw unusable(`"${commit}" is not a commit: it must be a hash`);
    return { kind: 'commit', commit, branch: reference && localBranch(reference) };
  }
  return reference === null ? { kind: 'default-branch' } : { kind: 'reference', reference };
}

function fullName(name: string | undefined, prefix: string): string | null {
  if (!name) return null;
  const reference = name.startsWith('refs/') ? name : prefix + name;
  if (invalidName.test(reference)) throw unusable(`"${name}" cannot be the name of a branch or tag`);
  return reference;
}

function unusable(problem: string): StepFailure {
  return new StepFailure('source-unavailable', `${problem}. Correct it in the deployment settings.`);
}

/** `main` for `refs/heads/main`; null for a reference that is no branch. */
export function localBranch(reference: string): string | null {
  return reference.startsWith(branchPrefix) ? reference.slice(branchPrefix.length) : null;
}

/** For messages: `branch "main"`. */
export function describeRevision(revision: Revision): string {
  if (revision.kind === 'default-branch') return 'default branch';
  if (revision.kind === 'commit') return `commit ${revision.commit}`;
  const { reference } = revision;
  if (reference.startsWith(branchPrefix)) return `branch "${reference.slice(branchPrefix.length)}"`;
  if (reference.startsWith(tagPrefix)) return `tag "${reference.slice(tagPrefix.length)}"`;
  return `reference "${reference}"`;
}
