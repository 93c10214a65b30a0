import type { Cause, SandboxSize } from '@slipway/core';
import { type Folder, tellingFolders } from './telling-folders.ts';

/** What a sandbox has run out of, as its kernel tells, whatever the processes in it say. */
export interface Shortages {
  /** Null where no process was killed for want of memory. */
  readonly memory: MemoryShortage | null;
  /** How often the kernel refused to start one more process or thread. */
  readonly processRefusals: number;
  /** Null where it cannot be told any more. */
  readonly volume: VolumeRoom | null;
}

export interface MemoryShortage {
  /** Processes that the kernel killed. */
  readonly kills: number;
  /** The last of them; null where the kernel's log cannot be read. */
  readonly process: { readonly name: string; readonly memoryMiB: number } | null;
  /** Whose memory had run out: the run's share, all of the virtual machine, or the host. */
  readonly outOf: 'container' | 'guest' | 'host';
  /** Most that the run used, files that can be dropped at any time included. */
  readonly peakMiB: number;
  /** What the sandbox leaves to the run: its memory without the kernel's own. */
  readonly limitMiB: number;
}

export interface VolumeRoom {
  readonly freeBytes: number;
  readonly freeFiles: number;
  readonly totalFiles: number;
  /** Its largest folders, or those with the most files, as far as they were looked for; the top is not among them. */
  readonly folders: readonly Folder[];
}

/** A cause with its particulars. */
export interface Explanation {
  readonly cause: Cause;
  readonly message: string;
}

/** A volume with less than this left counts as full: whatever failed then failed for want of space. */
const fullBytes = 1024 * 1024;

export function isFull({ freeBytes }: VolumeRoom): boolean {
  return freeBytes < fullBytes;
}

/** Some file systems have no table of files, and count none. */
export function holdsNoMoreFiles({ freeFiles, totalFiles }: VolumeRoom): boolean {
  return totalFiles > 0 && freeFiles === 0;
}

/** Why a sandbox ended that had run out of something; undefined when it had not. */
export function explainShortages(
  { memory, processRefusals, volume }: Shortages,
  size: SandboxSize,
): Explanation | undefined {
  if (memory) return explainMemory(memory, size);
  if (volume && holdsNoMoreFiles(volume)) {
    return { cause: 'inodes-exhausted', message: describeVolume('inodes-exhausted', volume, size) };
  }
  if (volume && isFull(volume)) {
    return { cause: 'disk-full', message: describeVolume('disk-full', volume, size) };
  }
  if (processRefusals > 0) {
    const message = `The kernel refused to start another process or thread ${processRefusals} times.`;
    return { cause: 'process-limit', message };
  }
  return undefined;
}

const memoryCauses = {
  container: 'out-of-memory',
  guest: 'guest-out-of-memory',
  host: 'host-out-of-memory',
} as const satisfies Record<MemoryShortage['outOf'], Cause>;

/** Which process was killed, at which limit, and how much the run had used at most. */
export function explainMemory(shortage: MemoryShortage, { memoryMiB }: SandboxSize): Explanation {
  const { kills, process, outOf, peakMiB, limitMiB } = shortage;
  const killed = process
    ? `the process "${programOf(process.name)}", which used ${figure(process.memoryMiB)} MiB,`
    : 'a process';
  const limit =
    limitMiB < memoryMiB
      ? `${figure(limitMiB)} MiB, which a sandbox of ${figure(memoryMiB)} MiB leaves to the run`
      : `${figure(memoryMiB)} MiB`;
  const others = kills > 1 ? ` It was the last of ${kills}.` : '';
  const message = {
    container: `The kernel killed ${killed} at the memory limit of ${limit}; the peak was ${figure(peakMiB)} MiB.`,
    guest: `The kernel of the virtual machine, of ${figure(memoryMiB)} MiB, killed ${killed} though the run had not reached its limit; its peak was ${figure(peakMiB)} MiB of ${limit}.`,
    host: `The kernel of the host killed ${killed} though the sandbox had not reached its limit; its peak was ${figure(peakMiB)} MiB of ${limit}.`,
  }[outOf];
  return { cause: memoryCauses[outOf], message: message + others };
}

/** What filled the volume. */
export function describeVolume(
  cause: 'disk-full' | 'inodes-exhausted',
  { totalFiles, folders }: VolumeRoom,
  { volumeGiB }: SandboxSize,
): string {
  if (cause === 'inodes-exhausted') {
    const most = tellingFolders(folders, 'files').map(
      ({ path, files }) => `${path} (${figure(files)} files)`,
    );
    const where = most.length > 0 ? ` Most are in ${most.join(', ')}.` : '';
    return `The volume of ${volumeGiB} GiB holds ${figure(totalFiles)} files, and all are made.${where}`;
  }
  const largest = tellingFolders(folders, 'bytes').map(
    ({ path, bytes }) => `${path} (${bytesFigure(bytes)})`,
  );
  const where = largest.length > 0 ? ` The largest folders are ${largest.join(', ')}.` : '';
  return `The volume of ${volumeGiB} GiB is full.${where}`;
}

/** Node.js 24 gives its main thread this name, which the kernel then shows in the place of the program's. */
function programOf(name: string): string {
  return name === 'MainThread' ? 'node' : name;
}

function figure(count: number): string {
  return Math.round(count).toLocaleString('en');
}

function bytesFigure(bytes: number): string {
  const mebibytes = bytes / 1024 ** 2;
  return mebibytes >= 1024 ? `${(mebibytes / 1024).toFixed(1)} GiB` : `${figure(mebibytes)} MiB`;
}
