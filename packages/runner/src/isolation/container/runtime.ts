import { release } from 'node:os';
import type { IsolationKind } from '@slipway/core';
import { runCommand } from '../../setup/run-command.ts';
import { type Hook, hook, type OciConfiguration } from './oci-configuration.ts';

/** The program that makes a container of a bundle. Its commands run in the supervisor's namespaces. */
export interface ContainerRuntime {
  readonly kind: Extract<IsolationKind, 'container' | 'gvisor'>;
  /** The kernel that runs work on, for their records. */
  readonly kernelRelease: string;
  /** Runs the container of the bundle in `folder` to its end; descriptor 3 is passed on. Each is a word for a shell. */
  run(folder: string): readonly string[];
  /** Sends a signal to the process of the container. */
  kill(folder: string, signal: string): readonly string[];
  /** The configuration as this runtime needs it. */
  adapt(configuration: OciConfiguration, about: ContainerPlace): object;
  /** Most processes and threads that the host has for `pidLimit` ones inside. */
  hostPidLimit(pidLimit: number): number;
}

/** Where a container is made. */
export interface ContainerPlace {
  readonly pidLimit: number;
  /** Directories of the control groups outside of its own, which the runtime is started in. */
  readonly outerCgroups: readonly string[];
  /** A folder of its volume. */
  readonly tmp: string;
}

/** Containers on the kernel of the host. */
export const crun: ContainerRuntime = {
  kind: 'container',
  kernelRelease: release(),
  run: (folder) => [...crunCommand(folder), 'run', ...['--preserve-fds', '1', '--bundle', folder, 'sandbox']],
  kill: (folder, signal) => [...crunCommand(folder), 'kill', 'sandbox', signal],
  adapt: ({ hooks, ...configuration }, { outerCgroups }) => ({
    ...configuration,
    hooks: { ...hooks, createRuntime: [enterCgroups(outerCgroups)] },
  }),
  hostPidLimit: (pidLimit) => pidLimit,
};

/**
 * Takes crun out of the container's control groups once that is made in them, and before its process is started, which could
 * otherwise leave crun no process for its next hook.
 */
function enterCgroups(directories: readonly string[]): Hook {
  return hook('for cgroup; do echo "$PPID" > "$cgroup/cgroup.procs"; done', ...directories);
}

function crunCommand(folder: string): string[] {
  return [
    'crun',
    '--root',
    `${folder}/runtime`,
    '--log',
    `${folder}/runtime.log`,
    '--cgroup-manager',
    'disabled',
  ];
}

/** gVisor has threads of its own, and two of the host for each one inside. */
const gvisorHostPids = { own: 512, forEach: 3 };

/**
 * Containers on gVisor, a kernel in user space (https://gvisor.dev): what a run asks of a kernel, gVisor answers, and it
 * asks far less of the host's. `runscPath` is its runtime.
 */
export async function gvisor(runscPath: string): Promise<ContainerRuntime> {
  const version = /release-\S+/.exec(await runCommand([runscPath, '--version']))?.[0] ?? 'unknown';
  const runsc = (folder: string) => [
    ...[runscPath, '--root', `${folder}/runtime`, '--log', `${folder}/runtime.log`],
    // The limits are set by the control groups that it is started in. Nothing is kept in memory that belongs on the volume.
    ...['--platform=systrap', '--ignore-cgroups', '--network=sandbox', '--overlay2=none'],
    '--file-access-mounts=shared',
  ];
  return {
    kind: 'gvisor',
    kernelRelease: `gVisor ${version} on ${release()}`,
    run: (folder) => [...runsc(folder), 'run', '--pass-fd', '3:3', '--bundle', folder, 'sandbox'],
    kill: (folder, signal) => [...runsc(folder), 'kill', 'sandbox', signal],
    adapt: ({ mounts, process, linux, ...configuration }, { pidLimit, tmp }) => {
      // What its kernel may ask of the host's is a filter of its own; inside, its kernel is all there is to reach.
      const { seccomp: _, namespaces, ...rest } = linux;
      return {
        ...configuration,
        process: { ...process, rlimits: [{ type: 'RLIMIT_NPROC', soft: pidLimit, hard: pidLimit }] },
        // It would put an empty /tmp into memory.
        mounts: [
          ...mounts,
          { destination: '/tmp', type: 'bind', source: tmp, options: ['bind', 'nosuid', 'nodev'] },
        ],
        linux: {
          ...rest,
          namespaces: [
            ...namespaces.filter(({ type }) => type !== 'cgroup'),
            { type: 'network', path: '/proc/self/ns/net' },
          ],
        },
      };
    },
    hostPidLimit: (pidLimit) => gvisorHostPids.own + gvisorHostPids.forEach * pidLimit,
  };
}
