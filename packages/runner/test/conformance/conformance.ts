import type { CacheTransfer } from '@slipway/core';
import type { Isolation } from '../../src/isolation/isolation.ts';
import type { SandboxBench } from '../../src/testing/sandbox-bench.ts';

/** What is different between isolations that promise the same. */
export interface ConformanceOptions {
  /** Opens the isolation; it keeps its files in `sandboxFolder`. */
  readonly open: (sandboxFolder: string) => Promise<Isolation>;
  /** What the shell inside prints the number of CPUs with that the sandbox may keep busy, as the kernel enforces it. */
  readonly cpuCount: string;
  /** Bytes sent each way through the channel. */
  readonly channelMiB?: number;
  /** Most that the channel may hold on its way while nobody reads. */
  readonly channelBufferMiB?: number;
  /** Memory of the sandbox in the out-of-memory test. */
  readonly smallMemoryMiB?: number;
  /** Volume of the sandboxes that fill theirs. */
  readonly smallVolumeGiB?: number;
  /** How cache entries come into a sandbox; what is a device is tested by its own tests. Archives when absent. */
  readonly cacheTransfer?: CacheTransfer;
  /**
   * gVisor keeps the memory of all processes in one of the host: at the limit they end together. And it refuses processes
   * itself, without counting.
   */
  readonly endsAsAWhole?: boolean;
  /** What its own kernel takes counts as the run's. */
  readonly countsItsKernel?: boolean;
  /** What it uses is asked inside, which on a busy host may answer too late: then that second is left out. */
  readonly mayAnswerLate?: boolean;
  /** A process may make namespaces: they are those of its own kernel. */
  readonly makesNamespaces?: boolean;
  /** Longest time of one test. */
  readonly timeoutMilliseconds?: number;
}

/** What the tests of each promise are told. */
export interface Conformance extends Required<Omit<ConformanceOptions, 'open' | 'timeoutMilliseconds'>> {
  /** Where sandboxes of the isolation are started; there once the tests run. */
  readonly bench: () => SandboxBench;
}
