import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

const bucket = 'blobs';
/** The only ones that it knows. */
export const s3Credentials = { AWS_ACCESS_KEY_ID: 'S3RVER', AWS_SECRET_ACCESS_KEY: 'S3RVER' };

/** An S3-compatible server on loopback: s3rver, which keeps objects as files and checks signatures. */
export class S3Server implements AsyncDisposable {
  readonly #process: ChildProcess;
  readonly #directory: string;
  /** As `--blob-storage` takes it. */
  readonly place: string;

  private constructor(process: ChildProcess, directory: string, port: string) {
    this.#process = process;
    this.#directory = directory;
    this.place = `s3://${bucket}/slipway?region=eu-central-1&endpoint=http://127.0.0.1:${port}`;
  }

  static async start(): Promise<S3Server> {
    const directory = await mkdtemp(join(tmpdir(), 'slipway-s3-'));
    // The package is published without its own program, which says the same.
    const library = createRequire(import.meta.url).resolve('@20minutes/s3rver/lib/cli.js');
    const program = `require(${JSON.stringify(library)}).parseAsync(process.argv)`;
    const options = ['-d', directory, '-a', '127.0.0.1', '-p', '0', '--configure-bucket', bucket];
    const server = spawn(process.execPath, ['-e', program, '--', 's3rver', ...options], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    server.stderr.resume();
    for await (const line of createInterface({ input: server.stdout })) {
      const [, port] = /listening on 127\.0\.0\.1:(\d+)/.exec(line) ?? [];
      if (port === undefined) continue;
      server.stdout.resume();
      return new S3Server(server, directory, port);
    }
    throw new Error('s3rver ended before it listened');
  }

  /** Names of all objects. */
  async objects(): Promise<string[]> {
    const files = await readdir(join(this.#directory, bucket), { recursive: true });
    return files.filter((name) => name.endsWith('._S3rver_object'));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const ended = once(this.#process, 'exit');
    this.#process.kill('SIGKILL');
    await ended;
    await rm(this.#directory, { recursive: true, force: true });
  }
}
