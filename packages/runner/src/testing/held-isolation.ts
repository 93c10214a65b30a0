import { type Duplex, duplexPair } from 'node:stream';
import {
  encodeFrame,
  FrameDecoder,
  type FrameFromExecutor,
  type FrameToExecutor,
  frameToExecutor,
} from '@slipway/core';
import type {
  CacheDevice,
  DestructionProof,
  Isolation,
  Sandbox,
  SandboxBoot,
  SandboxExit,
  SandboxSpec,
} from '../isolation/isolation.ts';
import type { Shortages } from '../isolation/shortages.ts';
import type { UsageReading } from '../isolation/usage-reading.ts';

const boot: SandboxBoot = {
  accelerated: null,
  kernelRelease: '6.1.0-test',
  bootId: '00000000-0000-0000-0000-000000000000',
  kernelDigest: null,
  initramfsDigest: null,
};

/** A sandbox whose inside the test holds: it speaks for the executor, in frames or in any bytes it likes. */
export class HeldSandbox implements Sandbox {
  readonly spec: SandboxSpec;
  readonly channel: Duplex;
  readonly started: Promise<SandboxBoot>;
  readonly exited: Promise<SandboxExit>;
  readonly cacheDevice: CacheDevice | null;
  /** What was sent to the executor. */
  readonly received: FrameToExecutor[] = [];
  /** When `destroy` was first called, by the monotonic clock; undefined before. */
  destroyedAt: number | undefined;
  /** What its kernel tells. */
  knownShortages: Shortages = { memory: null, processRefusals: 0, volume: null };
  /** What it uses. */
  reading: UsageReading = { sandbox: null, host: null };
  /** Set to make the next calls of `destroy` fail. */
  destroyFailures = 0;
  readonly #inside: Duplex;
  readonly #exit = Promise.withResolvers<SandboxExit>();

  constructor(spec: SandboxSpec, started: Promise<SandboxBoot>, cacheDevice: CacheDevice | null) {
    this.spec = spec;
    this.cacheDevice = cacheDevice;
    this.started = started;
    this.exited = this.#exit.promise;
    [this.channel, this.#inside] = duplexPair();
    const decoder = new FrameDecoder(frameToExecutor);
    this.#inside.on('data', (chunk: Buffer) => this.received.push(...decoder.push(chunk)));
    this.#inside.on('error', () => undefined);
  }

  get isDestroyed(): boolean {
    return this.destroyedAt !== undefined;
  }

  say(...frames: FrameFromExecutor[]): void {
    this.write(Buffer.concat(frames.map(encodeFrame)));
  }

  /** Answers whether the channel takes more at once. */
  write(bytes: Buffer): boolean {
    return this.#inside.write(bytes);
  }

  /** Settles when the channel takes more. */
  drained(): Promise<void> {
    return new Promise((resolve) => this.#inside.once('drain', resolve));
  }

  /** The process inside ends; what it wrote can still be read. */
  exit(exit: Partial<SandboxExit> = {}): void {
    this.#inside.end();
    this.#exit.resolve({ exitCode: null, signal: null, cause: null, message: '', ...exit });
  }

  /** The executor reads nothing from now on, whatever is written to it. */
  goDeaf(): void {
    this.#inside.pause();
  }

  /** The executor closes its descriptor and lives on. */
  hangUp(): void {
    this.#inside.end();
  }

  attach(): Promise<void> {
    return Promise.resolve();
  }

  /** There is none, so nobody can end it by mistake. */
  get hostProcess(): Promise<number> {
    return Promise.resolve(2 ** 30);
  }

  shortages(): Promise<Shortages> {
    return Promise.resolve(this.knownShortages);
  }

  usage(): Promise<UsageReading> {
    return Promise.resolve(this.reading);
  }

  signal(): void {}

  destroy(): Promise<DestructionProof> {
    if (this.destroyFailures > 0) {
      this.destroyFailures -= 1;
      return Promise.reject(new Error('the sandbox could not be destroyed, as the test asked'));
    }
    this.destroyedAt ??= performance.now();
    this.exit({ signal: 'SIGKILL' });
    return Promise.resolve({ processesReaped: true, nothingLeft: true, milliseconds: 1 });
  }
}

/** An isolation whose sandboxes are held by the test. */
export class HeldIsolation implements Isolation {
  readonly kind = 'container';
  readonly sandboxes: HeldSandbox[] = [];
  /** Of the sandboxes to come. */
  cacheDevice: CacheDevice | null = null;
  /** What `create` does, where it is not to succeed. */
  createFailure: Error | undefined;
  started: Promise<SandboxBoot> = Promise.resolve(boot);
  #created = Promise.withResolvers<void>();

  create(spec: SandboxSpec): Promise<Sandbox> {
    if (this.createFailure) return Promise.reject(this.createFailure);
    const sandbox = new HeldSandbox(spec, this.started, this.cacheDevice);
    this.sandboxes.push(sandbox);
    this.#created.resolve();
    this.#created = Promise.withResolvers<void>();
    return Promise.resolve(sandbox);
  }

  /** The sandbox of the `count`-th run, from 1 on. */
  async sandbox(count = 1): Promise<HeldSandbox> {
    for (;;) {
      const sandbox = this.sandboxes[count - 1];
      if (sandbox) return sandbox;
      await this.#created.promise;
    }
  }
}
