import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { defaultSandboxSize, type EgressPolicy, type EgressRecord, type SandboxSize } from '@slipway/core';
import type { Isolation, Sandbox, SandboxSpec } from '../isolation/isolation.ts';
import { type Gateway, startGateway } from '../network/gateway.ts';
import { createOpenNetwork } from '../network/pasta-network.ts';
import type { SandboxNetwork } from '../network/sandbox-network.ts';
import type { Toolbox } from '../toolbox/toolbox.ts';
import { hostTraces } from './host-traces.ts';
import { buildTinyImage } from './tiny-image.ts';

/** What a sandbox of a test differs in from the usual one. */
export interface BenchSpec {
  readonly size?: Partial<SandboxSize> | undefined;
  readonly pidLimit?: number;
  readonly silenceSeconds?: number;
  readonly hostname?: string;
  readonly environment?: Readonly<Record<string, string>>;
  readonly workingDirectory?: string;
  readonly egress?: EgressPolicy;
  /** The real one, say, which takes seconds to make. */
  readonly toolbox?: Toolbox;
  /** A command in front of those of the sandbox on the host, in its network. */
  readonly enter?: readonly string[];
}

/**
 * Starts sandboxes of one isolation in the real surroundings that they have in a runner: a network each, with a
 * gateway that leads to an HTTP server (which answers every path with `the control plane has <path>`, and `/zeros/<bytes>`
 * with so many), the tiny image, and a folder of their own for the isolation's files.
 */
export class SandboxBench implements AsyncDisposable {
  readonly folder: string;
  /** Where the isolation keeps its files; empty when no sandbox runs. */
  readonly sandboxFolder: string;
  readonly controlPlanePort: number;
  readonly #isolation: Isolation;
  readonly #server: Server;
  readonly #parts: ReturnType<typeof buildTinyImage>;
  readonly #running: { sandbox: Sandbox; network: SandboxNetwork; gateway: Gateway }[] = [];

  // Sandboxes of other benches run on the host at the same time.
  readonly #idPrefix = `bench-${process.pid}-${performance.now().toFixed()}-`;
  #count = 0;

  private constructor(
    folder: string,
    isolation: Isolation,
    server: Server,
    parts: ReturnType<typeof buildTinyImage>,
  ) {
    this.folder = folder;
    this.sandboxFolder = join(folder, 'sandboxes');
    this.#isolation = isolation;
    this.#server = server;
    this.#parts = parts;
    const address = server.address();
    this.controlPlanePort = typeof address === 'object' && address !== null ? address.port : 0;
  }

  /** `addToImage` puts more than busybox into the root of the image. */
  static async open(
    openIsolation: (sandboxFolder: string) => Promise<Isolation>,
    addToImage?: (root: string) => void,
  ): Promise<SandboxBench> {
    const folder = mkdtempSync(join(tmpdir(), 'slipway-bench-'));
    mkdirSync(join(folder, 'sandboxes'));
    const isolation = await openIsolation(join(folder, 'sandboxes'));
    const server = createServer((request, response) => {
      request.resume();
      const [, zeros] = /^\/zeros\/(\d+)$/.exec(request.url ?? '') ?? [];
      request.once('end', () =>
        response.end(zeros ? Buffer.alloc(Number(zeros)) : `the control plane has ${request.url}`),
      );
    });
    // As the control plane's own: Node's five seconds can end a connection just when a slow sandbox uses it again.
    server.keepAliveTimeout = 72_000;
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return new SandboxBench(folder, isolation, server, buildTinyImage(folder, addToImage));
  }

  /** A sandbox that runs `script` with the image's shell. */
  async start(script: string, differences: BenchSpec = {}): Promise<Sandbox> {
    const gateway = await startGateway({
      controlPlaneUrl: new URL(`http://127.0.0.1:${this.controlPlanePort}`),
    });
    const network = await createOpenNetwork({ gatewayHostPort: gateway.port }, differences.egress);
    const spec: SandboxSpec = {
      id: `${this.#idPrefix}${++this.#count}`,
      image: this.#parts.image,
      toolbox: differences.toolbox ?? this.#parts.toolbox,
      size: { ...defaultSandboxSize, memoryMiB: 512, volumeGiB: 1, ...differences.size },
      pidLimit: differences.pidLimit ?? 256,
      silenceSeconds: differences.silenceSeconds ?? 15,
      process: {
        argv: ['/bin/sh', '-c', script],
        environment: differences.environment ?? { PATH: '/bin' },
        workingDirectory: differences.workingDirectory ?? '/',
      },
      hostname: differences.hostname ?? 'sandbox',
      network: { ...network, enter: [...network.enter, ...(differences.enter ?? [])] },
    };
    const sandbox = await this.#isolation.create(spec);
    this.#running.push({ sandbox, network, gateway });
    return sandbox;
  }

  /** Destroys every sandbox and what served it. */
  async clear(): Promise<void> {
    for (const { sandbox, network, gateway } of this.#running.splice(0)) {
      await sandbox.destroy();
      await network.destroy();
      await gateway.close();
    }
  }

  /** Where a sandbox that was not cleared yet went, and where it was not let. */
  egressOf(sandbox: Sandbox): Promise<EgressRecord> {
    const running = this.#running.find((each) => each.sandbox === sandbox);
    return running ? running.network.egress() : Promise.reject(new Error('this sandbox was cleared'));
  }

  /** What of sandboxes can be seen on the host. */
  traces(): string[] {
    return hostTraces([this.folder, this.#idPrefix], this.sandboxFolder);
  }

  async close(): Promise<void> {
    await this.clear();
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
    rmSync(this.folder, { recursive: true });
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

const channelEndMilliseconds = 15_000;

/** Everything that the sandbox writes to its channel until that ends, as it has to when the process has. Destroys it. */
export async function outputOf(sandbox: Sandbox): Promise<string> {
  const chunks: Buffer[] = [];
  sandbox.channel.on('data', (chunk: Buffer) => chunks.push(chunk));
  const over = Promise.withResolvers<void>();
  for (const event of ['end', 'close']) sandbox.channel.once(event, () => over.resolve());
  await sandbox.started;
  await sandbox.exited;
  const endless = new Error('the channel has not ended, although the process that wrote to it has');
  const deadline = setTimeout(() => over.reject(endless), channelEndMilliseconds);
  await over.promise.finally(() => clearTimeout(deadline));
  await sandbox.destroy();
  return Buffer.concat(chunks).toString();
}

/** Waits until the sandbox has written `text` to its channel, and answers all up to it; what comes after it is dropped. */
export function untilItWrites(sandbox: Sandbox, text: string): Promise<string> {
  return new Promise((resolve, reject) => {
    let seen = '';
    const listen = (chunk: Buffer) => {
      seen += chunk.toString();
      if (!seen.includes(text)) return;
      sandbox.channel.off('data', listen);
      resolve(seen);
    };
    sandbox.channel.on('data', listen);
    void sandbox.exited.then(({ message }) =>
      reject(new Error(`it ended before it wrote "${text}": ${message}; ${seen}`)),
    );
  });
}
