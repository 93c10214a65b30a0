import { closeSync, constants, openSync } from 'node:fs';
import { access, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import * as z from 'zod';
import type { Guest } from '../../guest/ensure-guest.ts';
import { contentKey } from '../../setup/content-key.ts';
import { runCommand } from '../../setup/run-command.ts';
import { SandboxStartError } from '../isolation.ts';
import { type Acceleration, machineArguments } from './qemu-command.ts';
import { QemuProcess } from './qemu-process.ts';
import { withoutRights } from './unprivileged-user.ts';

export interface DetectedAcceleration {
  readonly acceleration: Acceleration;
  /** For the user. */
  readonly sentence: string;
}

const keptResult = z.object({ kvmFailure: z.string().nullable(), tscKiloHertz: z.number().positive() });
type KeptResult = z.infer<typeof keptResult>;

/** A machine with hardware acceleration boots in a fraction of a second. */
const probeDeadlineMilliseconds = 8_000;
/** What init says on the console when it finds no channel to a runner (guest/init.c). */
const probeAnswer = 'init: probe';

/**
 * Whether this host accelerates virtual machines. That `/dev/kvm` exists proves nothing: inside other machines it
 * often fails only when it is used. So a machine is booted, once for each boot of the host, kernel and QEMU.
 */
export async function detectAcceleration(
  guest: Guest,
  cacheDirectory: string,
): Promise<DetectedAcceleration> {
  const version = await runCommand(['qemu-system-x86_64', '--version']).catch((error: unknown) => {
    throw new SandboxStartError(
      'QEMU is missing; install the Debian package qemu-system-x86.',
      'sandbox-failed',
      { cause: error },
    );
  });
  const hostBoot = await readFile('/proc/sys/kernel/random/boot_id', 'utf8');
  const user = String(process.getuid?.() ?? '');
  const key = contentKey([version, hostBoot, user, guest.kernelDigest, guest.initramfsDigest]);
  const path = join(cacheDirectory, 'acceleration', `${key}.json`);
  const kept = await readResult(path);
  const result = kept ?? (await probe(guest));
  if (kept === undefined) {
    await mkdir(join(cacheDirectory, 'acceleration'), { recursive: true });
    await writeFile(path, JSON.stringify(result));
  }
  if (result.kvmFailure === null) {
    return {
      acceleration: { kind: 'kvm' },
      sentence: 'Virtual machines run with hardware acceleration (KVM).',
    };
  }
  return {
    acceleration: { kind: 'emulation', tscKiloHertz: result.tscKiloHertz },
    sentence: `Virtual machines run in software emulation, which takes many times as long: ${result.kvmFailure}.`,
  };
}

async function readResult(path: string): Promise<KeptResult | undefined> {
  const text = await readFile(path, 'utf8').catch(() => undefined);
  if (text === undefined) return undefined;
  try {
    return keptResult.parse(JSON.parse(text));
  } catch {
    return undefined;
  }
}

async function probe(guest: Guest): Promise<KeptResult> {
  const tscKiloHertz = Number((await runCommand([guest.tscRatePath])).trim());
  return { kvmFailure: await kvmFailure(guest), tscKiloHertz };
}

/** Null when a machine booted with KVM; else why not, as the end of a sentence. */
async function kvmFailure(guest: Guest): Promise<string | null> {
  const exists = await access('/dev/kvm', constants.F_OK).then(
    () => true,
    () => false,
  );
  if (!exists) return 'this host has no /dev/kvm';
  const files = [guest.kernelPath, guest.initramfsPath].map((path) => openSync(path, 'r'));
  const boot = { kernel: '/proc/self/fd/6', initramfs: '/proc/self/fd/7' };
  const machine = machineArguments(boot, { kind: 'kvm' }, { cpus: 1, memoryMiB: 256 }, ['SLIPWAY_PROBE=1']);
  // After the channels of a sandbox, which are not used.
  const qemu = new QemuProcess([...withoutRights(), 'qemu-system-x86_64', ...machine], 3, files);
  for (const file of files) closeSync(file);
  const deadline = setTimeout(() => void qemu.kill(), probeDeadlineMilliseconds);
  const { signal } = await qemu.ended;
  clearTimeout(deadline);
  await qemu.kill();
  if (qemu.console.text.includes(probeAnswer)) return null;
  if (signal === 'SIGKILL') return 'a machine that was started with KVM did not boot in time';
  const [reason = ''] = qemu.errors.split('\n').slice(-1);
  if (reason.includes('Permission denied')) {
    return 'QEMU, which runs without rights, may not open /dev/kvm (give the device to a group `kvm`, with mode 0660, and the runner to that group)';
  }
  return `a machine that was started with KVM did not boot${reason === '' ? '' : ` (${reason})`}`;
}
