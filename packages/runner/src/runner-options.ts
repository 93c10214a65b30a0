import type { CacheTransfer, CapacityOptions, IsolationKind, SandboxSize } from '@slipway/core';
import type { HostResources } from './capacity/host-resources.ts';
import type { BlobFormat } from './dependency-cache/blob-format.ts';
import type { EntryStore } from './dependency-cache/entry-store.ts';
import type { ImageStore } from './images/image-store.ts';
import type { Isolation } from './isolation/isolation.ts';
import type { SandboxNetwork } from './network/sandbox-network.ts';
import type { Toolbox } from './toolbox/toolbox.ts';

/** What the user decides about a runner. */
export interface RunnerOptions {
  /** The control plane, e.g. `https://slipway.example.com`. Plain HTTP beyond loopback only with `insecureHttp`. */
  readonly serverUrl: string;
  readonly poolToken: string;
  readonly insecureHttp?: boolean;
  /** Certificate authority of the control plane (PEM), besides the public ones. */
  readonly serverCertificateAuthority?: string | undefined;
  readonly isolation: IsolationKind;
  /** How many runs execute at the same time. */
  readonly slots: number;
  /** Size of a sandbox, where the run does not say. */
  readonly size: SandboxSize;
  readonly capacity: CapacityOptions;
  /** Reference of the executor image, where the run does not say. */
  readonly defaultImage: string;
  /** Extra certificate authorities (PEM) for everything inside a run; empty when the public ones suffice. */
  readonly extraCertificates: string;
  /** How runs reach the outside; addresses that never go through a proxy are added to `noProxy`. */
  readonly proxy: ProxyOptions;
  /** Private networks (CIDR) that runs may reach, as far as their egress policies go. */
  readonly allowedPrivateNetworks: readonly string[];
  /** Registries (`host` or `host:port`) at private addresses, or on this host, that executor images may come from. */
  readonly allowedPrivateRegistries?: readonly string[];
  /** Whether registries of a cloud are logged in to with the identity that the cloud gives this host; true when absent. */
  readonly usesHostIdentity?: boolean;
  /** Room for executor images and their layers; 50 GiB when absent. */
  readonly imageCacheGiB?: number | undefined;
  /** Takes volumes, which have no names, and the log spools, which are delivered at the next start after a crash. */
  readonly dataDirectory: string;
  readonly log: RunnerLog;
  /** Room for all entries of the dependency cache; 20 GiB when absent, 0 keeps none. */
  readonly dependencyCacheGiB?: number | undefined;
  /** Longest time from a sandbox's start to the executor's `ready`; by default three minutes. */
  readonly startDeadlineSeconds?: number;
  /** How long a run waits when the disk of this host is full, before it ends for that; 30 s when absent. */
  readonly roomPatienceSeconds?: number;
  /** Sandboxes that are started before there is a run for them; none when absent. */
  readonly warm?: WarmOptions;
}

export interface WarmOptions {
  /** How many wait for each image, of the size `size`. */
  readonly count: number;
  /** References, as runs name them; the default image when empty. */
  readonly images: readonly string[];
}

export interface ProxyOptions {
  readonly http?: string | undefined;
  readonly https?: string | undefined;
  /** Comma-separated, as in `NO_PROXY`. */
  readonly noProxy?: string | undefined;
}

/** What a runner is made of. `openRunnerParts` opens the real ones. */
export interface RunnerParts {
  readonly isolation: Isolation;
  readonly images: Omit<ImageStore, 'close'>;
  readonly toolbox: Toolbox;
  readonly measureHost: () => Promise<HostResources>;
  /** The dependency caches of projects; without it this runner keeps none. */
  readonly dependencyCache?: EntryStore;
  /** How entries travel to other hosts; those of a kind that is not named do not. */
  readonly blobFormats?: Readonly<Partial<Record<CacheTransfer, BlobFormat>>>;
  /** A network for one sandbox, which is still to be opened. */
  readonly createNetwork: () => Promise<SandboxNetwork>;
  /** Where runs execute, in one sentence; names software emulation where there is no hardware acceleration. */
  readonly isolationSentence: string;
  /** Removes what runs have left on the host that nobody ends any more. Answers what that was, a line each. */
  readonly removeOrphans?: () => Promise<readonly string[]>;
  close(): Promise<void>;
}

/** A structured log, as pino's. */
export interface RunnerLog {
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}
