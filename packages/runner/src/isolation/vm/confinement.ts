import { existsSync, realpathSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { Guest } from '../../guest/ensure-guest.ts';
import { libraryPaths } from '../../setup/library-paths.ts';
import { findOnPath } from '../../setup/path-search.ts';
import { SandboxStartError } from '../isolation.ts';
import type { BootPaths } from './qemu-command.ts';
import { ownIdentity, type UserNamespace } from './unprivileged-user.ts';

/** What a QEMU needs of this host besides the files that it gets open. */
export interface QemuFiles {
  readonly program: string;
  /** Its libraries and firmware. */
  readonly paths: readonly string[];
}

/** Where it finds the kernel and the initramfs. */
export const confinedBoot: BootPaths = { kernel: '/boot/kernel', initramfs: '/boot/initramfs' };

const firmware = ['/usr/share/qemu', '/usr/share/seabios'];

/** Throws `SandboxStartError` when there is no QEMU. */
export async function findQemuFiles(): Promise<QemuFiles> {
  const program = await findOnPath('qemu-system-x86_64');
  if (program === undefined)
    throw new SandboxStartError('QEMU is missing; install the Debian package qemu-system-x86.');
  const libraries = await libraryPaths(program);
  // Parts of QEMU that are files of their own: software emulation is one.
  const modules = libraries.map((path) => join(dirname(realpathSync(path)), 'qemu'));
  const others = ['/etc/ld.so.cache', '/dev/kvm', ...firmware, ...new Set(modules)].filter((path) =>
    existsSync(path),
  );
  return { program, paths: [...new Set([program, ...libraries, ...others])] };
}

/**
 * The command in front of QEMU's arguments: it runs as a user of its own, without rights, and with a root of its own
 * that holds QEMU alone. Whoever is not root acts as the root of a user namespace.
 */
export function confinedQemu(guest: Guest, qemu: QemuFiles, userNamespace: UserNamespace): string[] {
  const { user = '-', groups } = ownIdentity(userNamespace);
  return [
    ...[guest.confinePath, user, groups],
    ...qemu.paths.flatMap((path) => [path, path]),
    ...[guest.kernelPath, confinedBoot.kernel, guest.initramfsPath, confinedBoot.initramfs],
    ...['--', qemu.program],
  ];
}
