import { statfs } from 'node:fs/promises';
import { availableParallelism, totalmem } from 'node:os';

export interface SandboxDemand {
  readonly runners: number;
  readonly cpus: number;
  readonly memoryMib: number;
  readonly volumeGib: number;
}

const mebibyte = 1024 ** 2;
const gibibyte = 1024 ** 3;

/** Sentences for what this host has less of than its sandboxes may ask for, each naming the flag that changes it. */
export async function capacityWarnings(demand: SandboxDemand, dataDirectory: string): Promise<string[]> {
  const { runners, cpus, memoryMib, volumeGib } = demand;
  const sandboxes = runners === 1 ? 'a sandbox' : `${runners} sandboxes`;
  const warnings: string[] = [];
  const memory = Math.floor(totalmem() / mebibyte);
  if (runners * memoryMib > memory) {
    warnings.push(
      `This host has ${memory} MiB of memory; ${sandboxes} may use ${runners * memoryMib} MiB. Choose less with --memory-mib or --runners.`,
    );
  }
  const processors = availableParallelism();
  if (cpus > processors) {
    warnings.push(
      `This host has ${processors} CPUs; a sandbox is to have ${cpus}. Choose fewer with --cpus.`,
    );
  }
  const { bavail, bsize } = await statfs(dataDirectory);
  const disk = Math.floor((bavail * bsize) / gibibyte);
  if (runners * volumeGib > disk) {
    warnings.push(
      `${dataDirectory} has ${disk} GiB free; ${sandboxes} may fill ${runners * volumeGib} GiB. Choose less with --volume-gib.`,
    );
  }
  return warnings;
}
