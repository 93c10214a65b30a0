import { access, chown, constants, mkdir, open } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { JobFrame } from './environment.ts';
import type { Layout } from './layout.ts';
import { openScoreFile } from './memory-priority.ts';

export type StepUser = NonNullable<JobFrame['stepUser']>;

const rootHome = '/root';

/**
 * Becomes the user of the executor image, as whom all steps run, and everything that the executor does for them: so that
 * what it makes is that user's. What needs root comes before: folders and the environment file at the executor's root,
 * where such a user may not write. There is no way back. Answers the home folder for steps.
 */
export async function becomeStepUser(user: StepUser | undefined, layout: Layout): Promise<string> {
  if (!user || user.userId === 0) return user?.home ?? rootHome;
  openScoreFile();
  await makeFolder(layout.deploymentDirectory, user);
  await makeFolder(layout.executorDirectory, user);
  await (await open(layout.environmentFile, 'a')).close();
  await chown(layout.environmentFile, user.userId, user.groupId);
  // Before the rights are gone: a user without an account has no home, and `pulumi` needs one.
  const ownHome = join(layout.executorDirectory, 'home');
  await makeFolder(ownHome, user);
  process.setgroups?.([user.groupId, ...user.furtherGroupIds]);
  process.setgid?.(user.groupId);
  process.setuid?.(user.userId);
  return (await isWritable(user.home)) ? user.home : ownHome;
}

/** Makes a folder, with those above it that are missing, and gives it to the user. */
async function makeFolder(folder: string, { userId, groupId }: StepUser): Promise<void> {
  const first = await mkdir(folder, { recursive: true });
  await chown(folder, userId, groupId);
  if (first === undefined) return;
  for (let above = dirname(folder); above.startsWith(first); above = dirname(above)) {
    await chown(above, userId, groupId);
  }
}

function isWritable(folder: string): Promise<boolean> {
  return access(folder, constants.W_OK | constants.X_OK).then(
    () => true,
    () => false,
  );
}
