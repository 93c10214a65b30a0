import { randomBytes } from 'node:crypto';
import { gatewayHostname } from '../../network/sandbox-network.ts';
import type { SandboxSpec } from '../isolation.ts';

/** Where things are in the guest (guest/init.h). */
const guestPaths = {
  etc: '/etc',
  toolbox: '/run/toolbox',
  devices: '/run/devices',
  controlGroup: '/slipway/container',
} as const;

/**
 * The container is alone in its machine, which is the boundary. It still has no rights over that machine: what keeps
 * the watchdog and the messages about its end honest. As the container isolation has them.
 */
const capabilities = [
  ...['CAP_CHOWN', 'CAP_DAC_OVERRIDE', 'CAP_FSETID', 'CAP_FOWNER', 'CAP_SETGID', 'CAP_SETUID', 'CAP_SETFCAP'],
  ...['CAP_SETPCAP', 'CAP_NET_BIND_SERVICE', 'CAP_SYS_CHROOT', 'CAP_KILL'],
];
const maskedPaths = ['/proc/kcore', '/proc/keys', '/proc/scsi', '/proc/timer_list', '/sys/firmware'];
const readonlyPaths = ['/proc/bus', '/proc/fs', '/proc/irq', '/proc/sys', '/proc/sysrq-trigger'];

/** The files that init is sent, by path: the guest's own `/etc`, which the container shares, and crun's configuration. */
export function guestFiles(spec: SandboxSpec): ReadonlyMap<string, string> {
  const etc = filesInEtc(spec);
  return new Map([
    ...[...etc].map(([name, contents]) => [`etc/${name}`, contents] as const),
    ['bundle/config.json', JSON.stringify(ociConfiguration(spec, [...etc.keys()]))],
  ]);
}

function filesInEtc(spec: SandboxSpec): ReadonlyMap<string, string> {
  return new Map([
    ['hostname', `${spec.hostname}\n`],
    [
      'hosts',
      [
        '127.0.0.1 localhost',
        '::1 localhost ip6-localhost ip6-loopback',
        `127.0.1.1 ${spec.hostname}`,
        `${spec.network.gatewayAddress} ${gatewayHostname}`,
        '',
      ].join('\n'),
    ],
    ['machine-id', `${randomBytes(16).toString('hex')}\n`],
    ['resolv.conf', `nameserver ${spec.network.nameserver}\n`],
  ]);
}

/** https://github.com/opencontainers/runtime-spec/blob/main/config.md */
function ociConfiguration({ process, pidLimit }: SandboxSpec, sharedInEtc: readonly string[]): object {
  const sets = ['bounding', 'effective', 'permitted'];
  const noDevices = ['nosuid', 'noexec', 'nodev'];
  const mount = (destination: string, type: string, options: readonly string[]) => ({
    destination,
    type,
    source: type,
    options,
  });
  const bind = (source: string, destination: string, ...options: string[]) => ({
    destination,
    type: 'bind',
    source,
    options: ['bind', 'nosuid', 'nodev', ...options],
  });
  return {
    ociVersion: '1.0.0',
    root: { path: 'rootfs' },
    process: {
      terminal: false,
      user: { uid: 0, gid: 0 },
      args: process.argv,
      env: Object.entries(process.environment).map(([name, value]) => `${name}=${value}`),
      cwd: process.workingDirectory,
      capabilities: Object.fromEntries(sets.map((set) => [set, capabilities])),
    },
    mounts: [
      mount('/proc', 'proc', noDevices),
      mount('/dev', 'tmpfs', ['nosuid', 'strictatime', 'mode=755', 'size=64k']),
      mount('/dev/pts', 'devpts', ['nosuid', 'noexec', 'newinstance', 'ptmxmode=0666', 'mode=0620']),
      mount('/dev/shm', 'tmpfs', [...noDevices, 'mode=1777']),
      mount('/dev/mqueue', 'mqueue', noDevices),
      mount('/sys', 'sysfs', [...noDevices, 'ro']),
      mount('/sys/fs/cgroup', 'cgroup', [...noDevices, 'relatime', 'ro']),
      bind(guestPaths.toolbox, '/slipway', 'ro'),
      bind(guestPaths.devices, '/slipway-devices', 'ro', 'rslave'),
      ...sharedInEtc.map((name) => bind(`${guestPaths.etc}/${name}`, `/etc/${name}`)),
    ],
    linux: {
      cgroupsPath: guestPaths.controlGroup,
      // The host name is the guest's.
      namespaces: ['pid', 'ipc', 'mount', 'cgroup'].map((type) => ({ type })),
      // Devices that are attached later appear through this.
      rootfsPropagation: 'rslave',
      resources: { pids: { limit: pidLimit } },
      maskedPaths,
      readonlyPaths,
    },
  };
}
