import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { runCommand } from './run-command.ts';

/** Something of the cache that is in use. */
export interface Hold {
  release(): Promise<void>;
}

/**
 * Keeps folders of the cache from being removed until they are released, or this process has ended, however it does: the
 * shared locks are those of a process that ends with our end of its standard input. Throws when a folder is gone.
 */
export async function holdFolders(folders: readonly string[]): Promise<Hold> {
  // The dot keeps flock(1) from making a file where there is no folder any more.
  const locks = folders.flatMap((folder) => ['flock', '--shared', '--no-fork', `${folder}/.`]);
  const [command = '', ...rest] = [...locks, 'sh', '-c', 'echo held && exec cat'];
  // Out of reach of a terminal's Ctrl-C, after which the runner still works for a while.
  const holder = spawn(command, rest, { stdio: ['pipe', 'pipe', 'ignore'], detached: true });
  holder.stdin.on('error', () => {}); // It has ended already.
  const ended = once(holder, 'close');
  const isHeld = await Promise.race([
    once(holder.stdout, 'data').then(() => true),
    ended.then(
      () => false,
      () => false,
    ),
  ]);
  if (!isHeld) throw new Error(`${folders.join(' or ')} is gone from the cache; start again.`);
  return {
    release: async () => {
      holder.stdin.end();
      await ended;
    },
  };
}

/** Removes a folder of the cache that nobody holds; one that is held stays. */
export async function removeUnlessHeld(folder: string): Promise<void> {
  const lock = [
    'flock',
    '--exclusive',
    '--nonblock',
    '--conflict-exit-code',
    '0',
    '--no-fork',
    `${folder}/.`,
  ];
  await runCommand([...lock, 'rm', '-rf', folder]);
}
