import type { Duplex } from 'node:stream';
import type { Cause, IsolationKind, SandboxSize } from '@slipway/core';
import type { Image } from '../images/image.ts';
import type { SandboxNetwork } from '../network/sandbox-network.ts';
import type { Toolbox } from '../toolbox/toolbox.ts';
import type { Shortages } from './shortages.ts';
import type { UsageReading } from './usage-reading.ts';

/**
 * A kind of sandbox. A driver knows nothing of Pulumi; the rest of the runner knows nothing of QEMU or crun. All
 * drivers pass one conformance suite.
 */
export interface Isolation {
  readonly kind: IsolationKind;
  /**
   * Starts a sandbox and answers as soon as its process was started. It costs the host nothing once `destroy` of the
   * sandbox has answered. When it throws (`SandboxStartError`), nothing is left behind.
   */
  create(spec: SandboxSpec): Promise<Sandbox>;
}

export interface SandboxSpec {
  /** Names the sandbox on the host: letters, digits and `-`. */
  readonly id: string;
  readonly image: Image;
  /** Node and the executor, mounted read-only at `/slipway` in the sandbox. */
  readonly toolbox: Toolbox;
  readonly size: SandboxSize;
  /** Most processes and threads inside, together. */
  readonly pidLimit: number;
  readonly process: SandboxProcess;
  /**
   * Time without a word from the runner after which the sandbox ends by itself: should the runner be stopped rather than
   * killed, it can do nothing about it.
   */
  readonly silenceSeconds: number;
  /** Host name inside. */
  readonly hostname: string;
  readonly network: SandboxNetwork;
}

/** The one process that the sandbox runs. The channel is its file descriptor 3. */
export interface SandboxProcess {
  readonly argv: readonly string[];
  readonly environment: Readonly<Record<string, string>>;
  readonly workingDirectory: string;
}

export interface Sandbox {
  /** Bytes to and from file descriptor 3 of the process. Not read while nobody listens: back-pressure reaches inside. */
  readonly channel: Duplex;
  /** Settles once the process of the sandbox was started inside; rejects when it will never be. */
  readonly started: Promise<SandboxBoot>;
  /** How the sandbox ended: by itself or by `destroy`. Never rejects. */
  readonly exited: Promise<SandboxExit>;
  /**
   * Attaches a read-only EROFS image while the sandbox runs, at `/slipway-devices/<name>` inside.
   * `path` is a file on the host that stays unchanged as long as the sandbox lives.
   */
  attach(device: { name: string; path: string }): Promise<void>;
  /**
   * Id of the process on the host whose end is the end of every process in the sandbox. Rejects when there will never be
   * one.
   */
  readonly hostProcess: Promise<number>;
  /**
   * What the sandbox has run out of so far, as its kernel tells. Answers within seconds, with what is known, also when
   * nobody inside answers any more.
   */
  shortages(): Promise<Shortages>;
  /** What it uses now; once it has ended, what it used last. Answers within a quarter of a second, and never rejects. */
  usage(): Promise<UsageReading>;
  /** Where entries of the dependency cache are block devices; null where they have to be archives. */
  readonly cacheDevice: CacheDevice | null;
  /** Sends a signal to the process of the sandbox. */
  signal(signal: 'SIGINT' | 'SIGTERM' | 'SIGKILL'): void;
  /** Ends the sandbox at once and proves that nothing of it is left. May be called twice. */
  destroy(): Promise<DestructionProof>;
}

/**
 * The device of a dependency cache. What a sandbox writes to it is read by other sandboxes alone, never by this host.
 *
 * `folders` are absolute paths of folders inside that are there. All of them are mounted or none, and none later than
 * `milliseconds` from now: whoever has given up waiting finds nothing changed. What the sandbox has at a folder stays
 * visible below what the device holds for it.
 */
export interface CacheDevice {
  /** From now on what is written to `folders` goes to `file`, which is empty now. */
  mountNew(file: string, folders: readonly string[], milliseconds: number): Promise<void>;
  /**
   * Shows in `folders` what was written to the same ones when `file` was new; changes stay in the sandbox. Rejects with a
   * `DamagedDevice` when the file is to blame.
   */
  mountKept(file: string, folders: readonly string[], milliseconds: number): Promise<void>;
  /** Settles when everything written is in the new file. From then on nothing more gets into it. */
  seal(milliseconds: number): Promise<void>;
}

/** What is on the device cannot be used. */
export class DamagedDevice extends Error {
  override readonly name = 'DamagedDevice';
}

export interface SandboxBoot {
  /** Hardware acceleration; null where there is no virtual machine. */
  readonly accelerated: boolean | null;
  readonly kernelRelease: string;
  readonly bootId: string;
  readonly kernelDigest: string | null;
  readonly initramfsDigest: string | null;
}

/** Why there is no process in the sandbox any more. */
export interface SandboxExit {
  /** Exit code of the process, null when it was killed or is not known. */
  readonly exitCode: number | null;
  readonly signal: string | null;
  /** Set when the sandbox knows more than the exit code tells: `out-of-memory`, `guest-panic`, `disk-full`, … */
  readonly cause: Cause | null;
  /** Particulars for the user: which process, which limit; the last lines of the console after a panic. */
  readonly message: string;
}

/** What `destroy` made sure of. */
export interface DestructionProof {
  /** Every process of the sandbox was waited for. */
  readonly processesReaped: true;
  /** Cgroups, mounts, namespaces, volume: all gone. */
  readonly nothingLeft: true;
  readonly milliseconds: number;
}

/** A sandbox could not be started; the message says why and what to do. */
export class SandboxStartError extends Error {
  override readonly name = 'SandboxStartError';
  readonly runCause: Cause;

  constructor(message: string, runCause: Cause = 'sandbox-failed', options?: ErrorOptions) {
    super(message, options);
    this.runCause = runCause;
  }
}
