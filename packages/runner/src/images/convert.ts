import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { saysDiskFull } from '@slipway/core';
import { HostDiskFull } from '../host-disk.ts';
import { nodePath } from '../setup/repository.ts';
import { type ConversionLimits, usualLimits } from './convert/limits.ts';
import { type ConversionRequest, conversionAnswer } from './convert/protocol.ts';
import type { ImageUser } from './image.ts';
import { ImageUnavailableError } from './image-unavailable.ts';

/** The user that the conversion becomes where the runner has root rights: it owns nothing on the host. */
const unprivilegedUserId = 983_040;
const program = join(import.meta.dirname, 'convert/convert-process.ts');
/** An image with as many files as the limits allow needs two thirds of it. */
const maximumHeapMiB = 1536;
const maximumErrorCharacters = 2000;

export interface Conversion {
  /** As the user wrote it, for messages. */
  readonly reference: string;
  /** `sha256:…` of the manifest; the file system's UUID follows from it. */
  readonly digest: string;
  /** Blobs of the layers, first to last. */
  readonly layers: readonly string[];
  /** `PATH` of the image. */
  readonly searchPath: string | undefined;
  /** `USER` of the image. */
  readonly user: string;
}

export interface ConversionOptions {
  readonly limits?: ConversionLimits | undefined;
  /** Aborts it; it then rejects with the signal's reason. */
  readonly signal?: AbortSignal | undefined;
  readonly progress?: ((progress: { unpackedBytes: number; layer: number }) => void) | undefined;
}

/**
 * Makes the EROFS file `devicePath` out of the layers of an image, in a process without rights on the host. Answers whom
 * the image's user is. Throws `ImageUnavailableError` for an image that no run could use.
 */
export async function convert(
  image: Conversion,
  devicePath: string,
  { limits = usualLimits, signal, progress }: ConversionOptions = {},
): Promise<{ user: ImageUser; deviceBytes: number }> {
  const request: ConversionRequest = {
    layers: [...image.layers],
    devicePath,
    uuid: uuidFrom(image.digest),
    ...(image.searchPath !== undefined && { searchPath: image.searchPath }),
    user: image.user,
    limits,
    ...(process.getuid?.() === 0 && { becomeUserId: unprivilegedUserId }),
  };
  const child = spawn(
    'setpriv',
    [
      ...['--no-new-privs', 'prlimit', `--fsize=${limits.unpackedBytes * 2}`],
      ...[
        nodePath,
        `--max-old-space-size=${maximumHeapMiB}`,
        '--disable-warning=ExperimentalWarning',
        program,
      ],
    ],
    { stdio: ['pipe', 'pipe', 'pipe'], env: { PATH: process.env.PATH } },
  );
  const kill = () => child.kill('SIGKILL');
  signal?.addEventListener('abort', kill, { once: true });
  // Its input stays open: it ends with it, and with this process.
  child.stdin.on('error', () => {});
  child.stdin.write(`${JSON.stringify(request)}\n`);
  let errors = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    errors = (errors + text).slice(-maximumErrorCharacters);
  });
  const ended = once(child, 'close');
  ended.catch(() => {});
  let last: ReturnType<typeof conversionAnswer.parse> | undefined;
  for await (const line of createInterface({ input: child.stdout })) {
    last = conversionAnswer.parse(JSON.parse(line));
    if (last.kind === 'progress') progress?.(last);
  }
  const [code, killedBy] = await ended;
  signal?.removeEventListener('abort', kill);
  signal?.throwIfAborted();
  if (last?.kind === 'refused') throw new ImageUnavailableError(image.reference, last.message);
  if (last?.kind === 'done') return last;
  if (saysDiskFull(errors)) {
    throw new HostDiskFull(`Executor image "${image.reference}" could not be converted`, dirname(devicePath));
  }
  throw new ImageUnavailableError(
    image.reference,
    `its conversion ended with ${killedBy ?? `status ${code}`}: ${errors.trim() || 'no message'}`,
  );
}

/** A UUID (version 8: own scheme) that follows from a text, without dashes. */
function uuidFrom(text: string): string {
  const hex = createHash('sha256').update(text).digest('hex');
  return `${hex.slice(0, 12)}8${hex.slice(13, 16)}8${hex.slice(17, 32)}`;
}
