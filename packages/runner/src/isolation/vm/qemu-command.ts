import type { SandboxSize } from '@slipway/core';

/** Descriptors of the QEMU process. Everything that it works on comes to it open: it has no right to open it. */
export const descriptors = {
  executor: 3,
  init: 4,
  qmp: 5,
  image: 6,
  toolbox: 7,
  volume: 8,
} as const;

/** How the processor of the guest is made. */
export type Acceleration =
  | { readonly kind: 'kvm' }
  | {
      readonly kind: 'emulation';
      /** Rate of the host's time stamp counter, which an emulated guest sees. Thousands a second. */
      readonly tscKiloHertz: number;
    };

/** Where QEMU finds what the machine boots. */
export interface BootPaths {
  readonly kernel: string;
  readonly initramfs: string;
}

/** QEMU may start no process, take no rights and change no priorities. */
const seccomp = 'on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny';

/**
 * QEMU's arguments for what every machine of ours has in common: the smallest one that it can make, console on standard
 * output.
 */
export function machineArguments(
  boot: BootPaths,
  acceleration: Acceleration,
  size: Pick<SandboxSize, 'cpus' | 'memoryMiB'>,
  kernelParameters: readonly string[] = [],
): string[] {
  return [
    ...['-M', 'microvm', ...accelerator(acceleration)],
    ...['-nodefaults', '-no-user-config', '-display', 'none', '-no-reboot', '-sandbox', seccomp],
    ...['-smp', String(size.cpus), '-m', String(size.memoryMiB)],
    ...['-chardev', 'stdio,id=console,signal=off', '-serial', 'chardev:console'],
    ...['-kernel', boot.kernel, '-initrd', boot.initramfs],
    '-append',
    [
      ...everyKernel,
      ...(acceleration.kind === 'kvm' ? [] : emulatedKernel(acceleration)),
      ...kernelParameters,
    ].join(' '),
  ];
}

/** Five levels of page tables, which the largest emulated processor has, are five steps for each page that is looked up. */
function accelerator(acceleration: Acceleration): string[] {
  return acceleration.kind === 'kvm'
    ? ['-accel', 'kvm', '-cpu', 'host']
    : ['-accel', 'tcg,thread=multi,tb-size=1024', '-cpu', 'max,erms=off,la57=off'];
}

/**
 * The security modules are those that do something without a policy: AppArmor and the like have none here, and would look
 * at each file nevertheless.
 */
const everyKernel = [
  ...['console=ttyS0', 'panic=-1', 'reboot=t', 'quiet', 'cryptomgr.notests'],
  'lsm=landlock,lockdown,yama',
];

/** How often a second the kernel's clock ticks (CONFIG_HZ): all of Debian's for this architecture have it so. */
const kernelHertz = 250;

/**
 * Emulated, the kernel's own measurement of its clock sometimes hangs, and that of its delay loop (`lpj`: loops in a tick,
 * which are as many as the counter's steps) holds up each processor. An emulated processor has none of the faults that the
 * kernel works around, which takes it half a second of its boot.
 */
function emulatedKernel({ tscKiloHertz }: Extract<Acceleration, { kind: 'emulation' }>): string[] {
  const loopsInTick = Math.round((tscKiloHertz * 1000) / kernelHertz);
  return [`tsc_early_khz=${tscKiloHertz}`, 'tsc=reliable', `lpj=${loopsInTick}`, 'mitigations=off'];
}

/** The devices of a sandbox. The guest knows disks by serial and ports by name. */
export function deviceArguments(): string[] {
  const port = (name: 'executor' | 'init') => [
    ...['-chardev', `socket,id=${name},fd=${descriptors[name]}`],
    ...['-device', `virtserialport,chardev=${name},name=${name}`],
  ];
  return [
    ...['-device', 'virtio-serial-device', ...port('init'), ...port('executor')],
    ...disk('image', true),
    ...disk('toolbox', true),
    ...disk('volume', false),
    ...['-device', 'virtio-scsi-device,id=late'],
    ...['-device', 'virtio-rng-device'],
    ...['-netdev', 'user,id=network,ipv6=off', '-device', 'virtio-net-device,netdev=network'],
    ...['-chardev', `socket,id=qmp,fd=${descriptors.qmp}`, '-mon', 'chardev=qmp,mode=control'],
  ];
}

/** QEMU knows an open file as a set of descriptors, here one each, numbered like the descriptor. */
function disk(name: 'image' | 'toolbox' | 'volume', readOnly: boolean): string[] {
  const descriptor = descriptors[name];
  const access = readOnly ? 'read-only=on' : 'cache.no-flush=on,discard=unmap';
  return [
    ...['-add-fd', `fd=${descriptor},set=${descriptor}`],
    '-blockdev',
    `driver=file,node-name=${name},filename=/dev/fdset/${descriptor},locking=off,${access}`,
    ...['-device', `virtio-blk-device,drive=${name},serial=${name}`],
  ];
}
