import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  type Capacity,
  defaultCapacityOptions,
  defaultSandboxSize,
  type EgressPolicy,
  type EgressRecord,
} from '@slipway/core';
import { archiveFormat } from '../src/dependency-cache/blob-format.ts';
import { EntryStore } from '../src/dependency-cache/entry-store.ts';
import {
  ImageUnavailableError,
  type Runner,
  type RunnerOptions,
  type RunnerParts,
  startRunner,
} from '../src/index.ts';
import { ContractServer } from '../src/testing/contract-server.ts';
import { HeldIsolation, type HeldSandbox } from '../src/testing/held-isolation.ts';
import { plan } from './executor-frames.ts';

const deadlineMilliseconds = 20_000;

/** A runner between a control plane that the test controls and sandboxes that the test holds. */
export class RunSetting implements AsyncDisposable {
  readonly server: ContractServer;
  readonly isolation = new HeldIsolation();
  readonly directory: string;
  readonly logged: { level: string; fields: object; message: string }[] = [];
  /** What the host has, reserve included. */
  room: Capacity = { cpus: 64, memoryMiB: 1_000_000, volumeGiB: 10_000 };
  /** What the networks say about where their runs went. */
  egress: () => Promise<EgressRecord> = () =>
    Promise.resolve({ contacted: [], refused: [], unlisted: { contacted: 0, refused: 0 } });
  /** Of sandbox networks. */
  readonly networks = { created: 0, destroyed: 0 };
  /** What networks were opened for, in order. */
  readonly openedFor: EgressPolicy[] = [];
  /** What comes of opening a network. */
  openNetwork: () => Promise<void> = () => Promise.resolve();
  images: Pick<RunnerParts['images'], 'resolve'> = {
    resolve: (reference) =>
      Promise.resolve({
        reference,
        digest: 'sha256:1111',
        erofsPath: '/nowhere',
        config: {
          environment: { NODE_OPTIONS: '--inspect' },
          user: { userId: 0, groupId: 0, furtherGroupIds: [], home: '/root' },
        },
        release: () => Promise.resolve(),
      }),
  };
  dependencyCache: EntryStore | undefined;
  imagesAreNearlyFull = false;
  /** Why images could not be made ready ahead of time, by reference. */
  readonly imageFailures = new Map<string, string>();
  #runner: Runner | undefined;

  private constructor(server: ContractServer, directory: string) {
    this.server = server;
    this.directory = directory;
  }

  /** `folder`: where the runner keeps its files, if not where all temporary files are. */
  static async create(folder = tmpdir()): Promise<RunSetting> {
    return new RunSetting(await ContractServer.start(), await mkdtemp(join(folder, 'slipway-runner-test-')));
  }

  get options(): RunnerOptions {
    return {
      serverUrl: this.server.url,
      poolToken: 'pool-token',
      isolation: 'container',
      slots: 1,
      size: defaultSandboxSize,
      capacity: defaultCapacityOptions,
      defaultImage: 'localhost/slipway/executor:latest',
      extraCertificates: 'PEM of the private authority',
      proxy: { https: 'http://proxy.example.com:3128', noProxy: 'internal.example.com' },
      allowedPrivateNetworks: [],
      dataDirectory: this.directory,
      log: {
        info: (fields, message) => void this.logged.push({ level: 'info', fields, message }),
        warn: (fields, message) => void this.logged.push({ level: 'warn', fields, message }),
        error: (fields, message) => void this.logged.push({ level: 'error', fields, message }),
      },
    };
  }

  get parts(): RunnerParts {
    return {
      isolation: this.isolation,
      images: {
        resolve: async (reference, options) => {
          if (options?.aheadOfTime && this.imagesAreNearlyFull)
            throw new ImageUnavailableError(reference, 'the image cache is nearly full');
          return this.images.resolve(reference, options);
        },
        noteFailure: async (failure) => void this.imageFailures.set(failure.reference, failure.problem),
        forgetFailure: async (reference) => void this.imageFailures.delete(reference),
      },
      toolbox: { digest: 'sha256:2222', erofsPath: '/nowhere', executorArgv: ['/slipway/executor'] },
      ...(this.dependencyCache && {
        dependencyCache: this.dependencyCache,
        blobFormats: { archive: archiveFormat },
      }),
      createNetwork: () => {
        this.networks.created += 1;
        return Promise.resolve({
          enter: [],
          furtherUserIds: 0,
          namespacePath: '/nowhere',
          gatewayAddress: '127.0.0.1',
          nameserver: '127.0.0.53',
          open: (policy) => {
            this.openedFor.push(policy);
            return this.openNetwork();
          },
          egress: () => this.egress(),
          destroy: async () => {
            this.networks.destroyed += 1;
          },
        });
      },
      measureHost: () => Promise.resolve({ total: this.room, free: this.room }),
      isolationSentence: 'Runs execute in the hands of a test.',
      close: () => Promise.resolve(),
    };
  }

  /** From now on runs have a dependency cache. */
  async openCache(limits: { readonly maximumEntryBytes?: number } = {}): Promise<EntryStore> {
    const folder = join(this.directory, 'dependency-cache');
    this.dependencyCache = await EntryStore.open({
      folder,
      maximumBytes: 1e9,
      failed: (error) => void this.logged.push({ level: 'error', fields: { err: error }, message: '' }),
      ...limits,
    });
    return this.dependencyCache;
  }

  async start(options: Partial<RunnerOptions> = {}): Promise<Runner> {
    this.#runner = await startRunner({ ...this.options, ...options }, this.parts);
    return this.#runner;
  }

  /** A sandbox, the first when `count` is absent, whose executor was ready and has its job. */
  async sandboxWithJob(count = 1): Promise<HeldSandbox> {
    const sandbox = await this.isolation.sandbox(count);
    sandbox.say({ type: 'ready' });
    await eventually(() => sandbox.received.some((frame) => frame.type === 'job'));
    return sandbox;
  }

  /** The sandbox of the first run, whose executor has told its steps. */
  async sandboxAtWork(steps: readonly string[] = ['Get source']): Promise<HeldSandbox> {
    const sandbox = await this.sandboxWithJob();
    sandbox.say(plan(...steps));
    return sandbox;
  }

  /** Another runner takes the place of the one that was started. */
  async restart(): Promise<Runner> {
    await this.#runner?.stop(0);
    return this.start();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const stopping = this.#runner?.stop(0);
    for (const sandbox of this.isolation.sandboxes) sandbox.exit();
    await stopping;
    await this.dependencyCache?.settled();
    await this.server.close();
    await rm(this.directory, { recursive: true, force: true });
  }
}

/** Waits until `condition` answers something other than undefined or false. */
export async function eventually<T>(condition: () => T | undefined | false): Promise<T> {
  const until = performance.now() + deadlineMilliseconds;
  for (;;) {
    const value = condition();
    if (value !== undefined && value !== false) return value;
    if (performance.now() > until) throw new Error(`this never came true: ${condition}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
