import { statfs } from 'node:fs/promises';
import type { SandboxSpec } from '../isolation.ts';
import { memoryKillsInKernelLog } from '../kernel-log.ts';
import {
  holdsNoMoreFiles,
  isFull,
  type MemoryShortage,
  type Shortages,
  type VolumeRoom,
} from '../shortages.ts';
import type { Folder } from '../telling-folders.ts';
import type { CgroupCounters } from './cgroup.ts';
import type { Supervisor } from './supervisor.ts';
import { listFolders } from './supervisor-script.ts';

const mebibyte = 1024 ** 2;
/** Usage is counted in batches of pages, so a group at its limit may show a little less. */
const atLimitShare = 0.99;

/** What the control groups of a sandbox tell, which are all called `groupName`. */
export function countedShortages(
  spec: SandboxSpec,
  groupName: string,
  counters: CgroupCounters,
): Pick<Shortages, 'memory' | 'processRefusals'> {
  return { memory: memoryShortage(spec, groupName, counters), processRefusals: counters.processRefusals() };
}

function memoryShortage(
  spec: SandboxSpec,
  groupName: string,
  counters: CgroupCounters,
): MemoryShortage | null {
  const kills = counters.memoryKills();
  if (kills === 0) return null;
  const isOurs = (group: string | null) => group?.split('/').includes(groupName) ?? false;
  const last = memoryKillsInKernelLog().findLast(({ group }) => isOurs(group));
  const peakMiB = counters.memoryPeakBytes() / mebibyte;
  const limitMiB = spec.size.memoryMiB;
  const atLimit = last ? isOurs(last.groupAtLimit) : peakMiB >= limitMiB * atLimitShare;
  const outOf = atLimit ? 'container' : 'host';
  return { kills, process: last ?? null, outOf, peakMiB, limitMiB };
}

/** What the volume of a running sandbox has left, and what it was filled with when that is nothing. */
export async function volumeRoom(supervisor: Supervisor, folder: string): Promise<VolumeRoom> {
  // As the supervisor sees it: nobody else has it mounted.
  const volume = `/proc/${await supervisor.firstProcess}/root${folder}/volume`;
  const { bavail, bsize, ffree, files } = await statfs(volume);
  const room = { freeBytes: bavail * bsize, freeFiles: ffree, totalFiles: files, folders: [] };
  if (!isFull(room) && !holdsNoMoreFiles(room)) return room;
  const by = holdsNoMoreFiles(room) ? 'files' : 'bytes';
  return { ...room, folders: parseFolders(await supervisor.run(listFolders(folder, by)), by) };
}

/** Lines of a size and `./path`; the first is the whole volume. */
function parseFolders(list: string, by: 'bytes' | 'files'): Folder[] {
  return [...list.matchAll(/^(\d+)\t\.(\/.*)$/gm)].map(([, size, path = '']) => {
    return { path, bytes: 0, files: 0, [by]: Number(size) };
  });
}
