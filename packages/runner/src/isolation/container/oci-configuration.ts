import type { SandboxSpec } from '../isolation.ts';
import { seccompProfile } from './seccomp-profile.ts';

export interface BundlePaths {
  readonly root: string;
  readonly toolbox: string;
  /** Files for `/etc`: host name, hosts, name server, machine id. */
  readonly etc: string;
  /** Late devices appear here. */
  readonly devices: string;
  /** A folder of the volume for `/tmp`, where the runtime needs one. */
  readonly tmp: string;
}

/**
 * Docker's default set without those that reach around the sandbox: `NET_RAW` writes packets past the network's
 * rules, `MKNOD` makes devices, `AUDIT_WRITE` writes to the host's audit log.
 */
const capabilities = [
  ...['CAP_CHOWN', 'CAP_DAC_OVERRIDE', 'CAP_FSETID', 'CAP_FOWNER', 'CAP_SETGID', 'CAP_SETUID', 'CAP_SETFCAP'],
  ...['CAP_SETPCAP', 'CAP_NET_BIND_SERVICE', 'CAP_SYS_CHROOT', 'CAP_KILL'],
];

const maskedPaths = [
  ...['/proc/acpi', '/proc/asound', '/proc/interrupts', '/proc/kcore', '/proc/keys', '/proc/latency_stats'],
  ...['/proc/sched_debug', '/proc/scsi', '/proc/timer_list', '/proc/timer_stats', '/sys/firmware'],
  ...['/sys/devices/virtual/powercap'],
];
const readonlyPaths = ['/proc/bus', '/proc/fs', '/proc/irq', '/proc/sys', '/proc/sysrq-trigger'];
const noDevices = ['nosuid', 'noexec', 'nodev'];

/**
 * The OCI runtime configuration of a sandbox (https://github.com/opencontainers/runtime-spec, config.md). Network and
 * control groups are those that the runtime itself is started in. `onStarted` is run on the host when the process of
 * the sandbox was started.
 */
export function ociConfiguration(
  { process, hostname }: SandboxSpec,
  bundle: BundlePaths,
  cgroupMounts: readonly { readonly source: string; readonly destination: string }[],
  onStarted: Hook,
) {
  const bind = (source: string, destination: string, ...options: string[]) => ({
    destination,
    type: 'bind',
    source,
    options: ['bind', 'nosuid', 'nodev', ...options],
  });
  const sets = ['bounding', 'effective', 'inheritable', 'permitted'];
  return {
    ociVersion: '1.0.0',
    hostname,
    root: { path: bundle.root },
    process: {
      terminal: false,
      user: { uid: 0, gid: 0 },
      args: process.argv,
      env: Object.entries(process.environment).map(([name, value]) => `${name}=${value}`),
      cwd: process.workingDirectory,
      capabilities: Object.fromEntries(sets.map((set) => [set, set === 'inheritable' ? [] : capabilities])),
    },
    mounts: [
      { destination: '/proc', type: 'proc', source: 'proc', options: noDevices },
      {
        destination: '/dev',
        type: 'tmpfs',
        source: 'tmpfs',
        options: ['nosuid', 'strictatime', 'mode=755', 'size=64k'],
      },
      {
        destination: '/dev/pts',
        type: 'devpts',
        source: 'devpts',
        options: ['nosuid', 'noexec', 'newinstance', 'ptmxmode=0666', 'mode=0620'],
      },
      {
        destination: '/dev/shm',
        type: 'tmpfs',
        source: 'shm',
        options: [...noDevices, 'mode=1777', 'size=64m'],
      },
      { destination: '/dev/mqueue', type: 'mqueue', source: 'mqueue', options: noDevices },
      { destination: '/sys', type: 'sysfs', source: 'sysfs', options: [...noDevices, 'ro'] },
      {
        destination: '/sys/fs/cgroup',
        type: 'tmpfs',
        source: 'tmpfs',
        options: [...noDevices, 'mode=755', 'size=64k'],
      },
      ...cgroupMounts.map(({ source, destination }) => bind(source, destination, 'ro', 'noexec')),
      bind(bundle.toolbox, '/slipway', 'ro'),
      bind(bundle.devices, '/slipway-devices', 'ro', 'rslave'),
      ...['hostname', 'hosts', 'machine-id', 'resolv.conf'].map((name) =>
        bind(`${bundle.etc}/${name}`, `/etc/${name}`),
      ),
    ],
    hooks: { poststart: [onStarted] },
    linux: {
      namespaces: ['pid', 'ipc', 'uts', 'mount', 'cgroup'].map((type) => ({ type })),
      rootfsPropagation: 'rslave',
      seccomp: seccompProfile,
      maskedPaths,
      readonlyPaths,
    },
  };
}

/** A command that the runtime runs on the host. */
export interface Hook {
  readonly path: string;
  readonly args: readonly string[];
}

/**
 * A shell script as a hook. It reads the container's state, its input, to the end: to crun, a hook fails that does not. That
 * takes no process, which the container may have left none for.
 */
export function hook(script: string, ...args: readonly string[]): Hook {
  const readState = 'while read -r state; do :; done';
  return { path: '/bin/sh', args: ['/bin/sh', '-c', `${readState}; ${script}`, 'slipway-hook', ...args] };
}

export type OciConfiguration = ReturnType<typeof ociConfiguration>;
