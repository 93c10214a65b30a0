import { spawn } from 'node:child_process';

/**
 * Waits for the end of its standard input, then ends whatever is left in the control groups and removes them: the one
 * thing of a container that does not go away with its processes. Tries for ten seconds.
 */
const sweeperScript = `
read -r _
attempt=0
while [ "$attempt" -lt 500 ]; do
  left=
  for cgroup in "$@"; do
    [ -d "$cgroup" ] || continue
    while read -r process; do kill -KILL "$process"; done < "$cgroup/cgroup.procs"
    rmdir "$cgroup" || left=1
  done
  [ -n "$left" ] || exit 0
  attempt=$((attempt + 1))
  sleep 0.02
done
exit 1
`;

export interface CgroupSweeper {
  /** Ends what is left in the control groups and removes them. Throws when processes do not end. May be called twice. */
  sweep(): Promise<void>;
}

/**
 * Watches over control groups, outside the sandbox and outside the runner's process group: they are removed when
 * `sweep` is called, and when this process ends in whatever way, `kill -9` included.
 */
export function watchCgroups(directories: readonly string[]): CgroupSweeper {
  const sweeper = spawn('/bin/sh', ['-c', sweeperScript, 'slipway-sweeper', ...directories], {
    stdio: ['pipe', 'ignore', 'ignore'],
    detached: true,
  });
  const ended = new Promise<number | null>((resolve, reject) => {
    sweeper.once('error', reject);
    sweeper.once('exit', resolve);
  });
  ended.catch(() => {});
  sweeper.stdin.on('error', () => {});
  return {
    async sweep() {
      sweeper.stdin.end();
      if ((await ended) !== 0) {
        throw new Error(
          `processes of a sandbox do not end; its control groups ${directories.join(', ')} are still there`,
        );
      }
    },
  };
}
