import * as z from 'zod';
import type { SandboxSize } from './run.ts';

const count = z.number().int().nonnegative();

/** What a run uses, as one kernel counts it. */
export const resourceUse = z.object({
  /** Of all processors together, since the sandbox was made. */
  cpuMilliseconds: count,
  /** In use, without the files that the kernel keeps in memory and can drop at any time. */
  memoryBytes: count,
  volumeBytes: count,
  /** Through the sandbox's network interface since it was made, the gateway to the control plane included. */
  receivedBytes: count,
  sentBytes: count,
});
export type ResourceUse = z.infer<typeof resourceUse>;

/**
 * What a run uses, twice: as counted inside and on the host; null while that cannot be told.
 * - `sandbox`: the run's own processes, and the files on its volume. In a virtual machine it is the word of the guest's
 *   kernel, which is believed within the size of the sandbox and what the host has counted of its network.
 * - `host`: what the sandbox takes of its host. For a virtual machine that is QEMU, with all the memory that the guest has
 *   touched; the volume has what is allocated to its file, which may include what was removed inside. On a busy host a
 *   guest counts more processor time than QEMU was given.
 *
 * In a container both have the same processes and network.
 */
export const usage = z.object({ sandbox: resourceUse.nullable(), host: resourceUse.nullable() });
export type Usage = z.infer<typeof usage>;

/**
 * A stretch of a run's time: what it had used at its end, and the most memory and volume that it was seen to use at once
 * within it.
 */
export const usageSample = usage.extend({
  /** Its end, by the runner's clock. */
  at: z.iso.datetime(),
  /** Its length. */
  seconds: z
    .number()
    .int()
    .min(1)
    .max(2 ** 31 - 1),
});
export type UsageSample = z.infer<typeof usageSample>;

/** What was used in all, and at most. Looked at each second: what came and went within one may be missing. */
export const resourcePeaks = z.object({
  cpuMilliseconds: count,
  /** Processors kept busy over a second. */
  peakCpus: z.number().nonnegative(),
  peakMemoryBytes: count,
  peakVolumeBytes: count,
  receivedBytes: count,
  sentBytes: count,
});
export type ResourcePeaks = z.infer<typeof resourcePeaks>;

/** The whole of a run, so far. */
export const usageSummary = z.object({
  sandbox: resourcePeaks.nullable(),
  host: resourcePeaks.nullable(),
});
export type UsageSummary = z.infer<typeof usageSummary>;

/** A run younger than this has a sample for each second. */
export const everySecondSeconds = 600;

/**
 * Length of the sample that begins when a run has this age. It doubles whenever the age does, so that a chart of the
 * whole run never has less than 300 points, what happened first keeps its seconds, and a run of a week has 3,600 samples.
 */
export function sampleSecondsAt(ageSeconds: number): number {
  if (ageSeconds < everySecondSeconds) return 1;
  return 2 ** (Math.floor(Math.log2(ageSeconds / everySecondSeconds)) + 1);
}

/** More than a run of a year has. */
export const maximumUsageSamples = 6_000;
/** Of one call. */
export const maximumReportedSamples = 1_000;

/** One line for the log of a run; undefined when nothing was seen of it. */
export function describeUsage(
  { sandbox, host }: UsageSummary,
  { cpus, memoryMiB, volumeGiB }: SandboxSize,
): string | undefined {
  const peaks = sandbox ?? host;
  if (!peaks) return undefined;
  const busy = Math.min(peaks.peakCpus, cpus).toFixed(2);
  const memory = mebibytes(peaks.peakMemoryBytes);
  const volume = (peaks.peakVolumeBytes / 1024 ** 3).toFixed(2);
  return (
    `Used at most ${busy} of ${cpus} vCPU, ${memory} of ${memoryMiB.toLocaleString('en')} MiB memory and ${volume} of ${volumeGiB} GiB volume; ` +
    `in all ${(peaks.cpuMilliseconds / 1000).toFixed(1)} s of processor time, ${mebibytes(peaks.receivedBytes)} MiB received, ${mebibytes(peaks.sentBytes)} MiB sent.`
  );
}

function mebibytes(bytes: number): string {
  const value = bytes / 1024 ** 2;
  return value.toLocaleString('en', { maximumFractionDigits: value < 10 ? 1 : 0 });
}
