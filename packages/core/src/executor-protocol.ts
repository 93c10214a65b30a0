import * as z from 'zod';
import { type Cause, cause } from './cause.ts';
import { cachedPath, cacheKey, maximumCachedPaths } from './dependency-cache.ts';
import { job } from './job.ts';
import { linePiece, maximumLineCharacters } from './log-line.ts';
import { stepStatus } from './run.ts';

/**
 * The protocol between runner and executor, over the channel of the sandbox (file descriptor 3 of the executor).
 *
 * A frame is a 4-byte big-endian length and that many bytes of UTF-8 JSON. A sandbox is hostile: a frame that is too
 * long, not JSON or not of these shapes ends that run with the cause `protocol-violation`, and nothing else.
 *
 * The executor speaks first (`ready`); `result` is its last frame. Then it waits until the runner closes the channel
 * or destroys the sandbox: were it to end by itself, a virtual machine could go before the host has read everything.
 */
export const maximumFrameBytes = 1024 * 1024;
/** Most lines of a `log` frame. */
const maximumFrameLines = 64 * 1024;
/** How many lines of the end of a log are kept at most when it was cut. */
export const mostLastLines = 100;

/** What the host's network needs inside the sandbox: it reaches git, npm, Node, pip, curl and `pulumi` alike. */
export const networkSettings = z.object({
  /** The control plane as the sandbox sees it, e.g. `http://slipway.internal`. */
  gatewayUrl: z.string(),
  /** Extra certificate authorities, PEM; empty when the public ones suffice. */
  extraCertificates: z.string(),
  /** `HTTP_PROXY`, `HTTPS_PROXY`, `NO_PROXY` as they apply inside; absent ones are not set. */
  proxy: z.object({ http: z.string().optional(), https: z.string().optional(), noProxy: z.string() }),
});
export type NetworkSettings = z.infer<typeof networkSettings>;

/** `device`: the runner mounts folders of a block device. `archive`: a compressed archive travels over this channel. */
export const cacheTransfer = z.enum(['device', 'archive']);
export type CacheTransfer = z.infer<typeof cacheTransfer>;

/** Most bytes of an archive in one frame. */
export const maximumPieceBytes = 384 * 1024;
const archivePiece = {
  /** Base64. */
  bytes: z.string().max((maximumPieceBytes / 3) * 4),
  isLast: z.boolean(),
};

export const frameToExecutor = z.discriminatedUnion('type', [
  z.object({
    type: z.literal('job'),
    job,
    network: networkSettings,
    /**
     * Environment variables of the executor image, for the steps. They are not in the executor's own environment:
     * a `NODE_OPTIONS` or `LD_PRELOAD` among them would reach its Node.
     */
    imageEnvironment: z.record(z.string(), z.string()),
    /** The `USER` of the executor image, as whom the steps run; root when absent. */
    stepUser: z
      .object({
        userId: z.number().int().min(0),
        groupId: z.number().int().min(0),
        furtherGroupIds: z.array(z.number().int().min(0)).max(65_536).readonly(),
        /** Where the image's environment names none. */
        home: z.string(),
      })
      .optional(),
    /** How a cache entry comes into this sandbox and out of it; absent where the runner keeps no cache. */
    cacheTransfer: cacheTransfer.optional(),
  }),
  /** Interrupt the running step, wait `graceSeconds`, then kill it. */
  z.object({ type: z.literal('cancel'), graceSeconds: z.number().nonnegative() }),
  /** The log has reached its limit. The runner keeps the last lines of what follows, so the others need not be sent. */
  z.object({ type: z.literal('log-full') }),
  /** Answer to `cache-restore`. */
  z.object({
    type: z.literal('cache-restored'),
    /** `mounted`: an entry is at its paths. `archive`: its bytes can be asked for with `cache-read`. */
    entry: z.enum(['mounted', 'archive', 'none']),
    /** Which entry it is, or why there is none: the end of a sentence for the log. */
    reason: z.string(),
    /** Whether what the run installs may become the entry. */
    mayBeSaved: z.boolean(),
  }),
  /** Answer to `cache-read`. */
  z.object({ type: z.literal('cache-bytes'), ...archivePiece }),
  /** Answer to `cache-save`, and to the last `cache-write`; earlier when no more is taken. */
  z.object({
    type: z.literal('cache-saved'),
    /** Size of the entry; null when it was not saved. */
    entryBytes: z.number().nonnegative().nullable(),
    /** Why it was not, as the end of a sentence. */
    reason: z.string(),
  }),
]);
export type FrameToExecutor = z.infer<typeof frameToExecutor>;

/** What an executor may say that a run failed of. Of everything else it is the runner who knows. */
export const executorCause = cause.extract([
  ...['program-error', 'cancelled', 'source-unavailable', 'image-unavailable', 'dependencies-failed'],
  ...['heap-limit', 'out-of-memory', 'process-limit', 'disk-full', 'inodes-exhausted', 'internal-error'],
] as const);
export type ExecutorCause = z.infer<typeof executorCause>;

/**
 * Milliseconds since 1970, by the sandbox's clock. As text it would take an emulated machine a twentieth of a second to
 * write the first one.
 */
const timestamp = z.int().nonnegative();

export const frameFromExecutor = z.discriminatedUnion('type', [
  z.object({ type: z.literal('ready') }),
  /** All steps of the run, in order, before the first one starts. */
  z.object({ type: z.literal('plan'), steps: z.array(z.string().max(200)).max(100) }),
  z.object({
    type: z.literal('step'),
    /** Index into the planned steps. */
    step: z.number().int().min(0).max(99),
    status: stepStatus,
    timestamp,
  }),
  /** Lines of the log, without their newlines, or one piece of a longer line. */
  z
    .object({
      type: z.literal('log'),
      step: z.number().int().min(0).max(99),
      timestamp,
      lines: z.array(z.string().max(maximumLineCharacters)).max(maximumFrameLines),
      piece: linePiece.optional(),
      /** What came before these lines and is not sent; only after `log-full`. */
      leftOut: z.object({ lines: z.int().nonnegative(), bytes: z.int().nonnegative() }).optional(),
    })
    .refine(({ piece, lines }) => !piece || lines.length === 1, { message: 'a piece of a line comes alone' }),
  /**
   * Asks for the cache entry with this key, once, before anything of the user's was run. The paths are folders that
   * exist when entries come as devices. Answered by `cache-restored`.
   */
  z.object({
    type: z.literal('cache-restore'),
    key: cacheKey,
    paths: z.array(cachedPath).min(1).max(maximumCachedPaths),
  }),
  /** Asks for the next piece of the archive. */
  z.object({ type: z.literal('cache-read') }),
  /** The archive could not be unpacked: it is damaged. */
  z.object({ type: z.literal('cache-unusable') }),
  /** What was installed on the device is to be kept: nothing is written to it any more. */
  z.object({ type: z.literal('cache-save') }),
  /** The next piece of the archive that is to be kept. */
  z.object({ type: z.literal('cache-write'), ...archivePiece }),
  z.object({
    type: z.literal('result'),
    outcome: z.enum(['succeeded', 'failed']),
    cause: executorCause.optional(),
    /** Particulars: what failed, by name. */
    message: z.string().max(8192).optional(),
  }),
]);
export type FrameFromExecutor = z.infer<typeof frameFromExecutor>;
/** Lines of a log that are counted and not sent. */
export type LeftOut = NonNullable<Extract<FrameFromExecutor, { type: 'log' }>['leftOut']>;

/** The channel carried something that is not a frame of the protocol. */
export class ProtocolViolation extends Error {
  override readonly name = 'ProtocolViolation';
  readonly runCause: Cause = 'protocol-violation';
}

/** One frame as bytes. Throws a `RangeError` when it is longer than `maximumFrameBytes`. */
export function encodeFrame(frame: FrameToExecutor | FrameFromExecutor): Buffer {
  const body = Buffer.from(JSON.stringify(frame), 'utf8');
  if (body.length > maximumFrameBytes) {
    throw new RangeError(`a frame of ${body.length} bytes exceeds the maximum of ${maximumFrameBytes}`);
  }
  const header = Buffer.allocUnsafe(4);
  header.writeUInt32BE(body.length, 0);
  return Buffer.concat([header, body]);
}

const utf8 = new TextDecoder('utf-8', { fatal: true });

/** Of a frame that comes byte by byte, each byte would take some hundred of memory. */
const mostChunks = 1024;

/**
 * Turns a stream of chunks into frames. Holds at most one frame (`maximumFrameBytes`) of unread bytes.
 * `push` throws `ProtocolViolation` at the first byte sequence that is not a frame; the decoder is useless after that.
 */
export class FrameDecoder<Frame> {
  readonly #schema: z.ZodType<Frame>;
  #chunks: Buffer[] = [];
  #length = 0;

  constructor(schema: z.ZodType<Frame>) {
    this.#schema = schema;
  }

  push(chunk: Buffer): Frame[] {
    if (this.#chunks.length >= mostChunks) this.#chunks = [Buffer.concat(this.#chunks)];
    this.#chunks.push(chunk);
    this.#length += chunk.length;
    const frames: Frame[] = [];
    for (;;) {
      if (this.#length < 4) return frames;
      const header = this.#peek(4);
      const bodyLength = header.readUInt32BE(0);
      if (bodyLength > maximumFrameBytes) {
        throw new ProtocolViolation(
          `a frame announces ${bodyLength} bytes; the maximum is ${maximumFrameBytes}`,
        );
      }
      if (this.#length < 4 + bodyLength) return frames;
      this.#take(4);
      frames.push(this.#parse(this.#take(bodyLength)));
    }
  }

  #parse(body: Buffer): Frame {
    let value: unknown;
    try {
      value = JSON.parse(utf8.decode(body));
    } catch {
      throw new ProtocolViolation('a frame is not UTF-8 JSON');
    }
    const parsed = this.#schema.safeParse(value);
    if (!parsed.success) {
      const issue = parsed.error.issues[0];
      throw new ProtocolViolation(
        `a frame has a wrong shape at "${issue?.path.join('.')}": ${issue?.message}`,
      );
    }
    return parsed.data;
  }

  /** The first `count` bytes as one buffer, left in place. */
  #peek(count: number): Buffer {
    const first = this.#joined(count);
    return first.subarray(0, count);
  }

  #take(count: number): Buffer {
    const first = this.#joined(count);
    if (first.length === count) this.#chunks.shift();
    else this.#chunks[0] = first.subarray(count);
    this.#length -= count;
    return first.subarray(0, count);
  }

  /** The first chunk, after joining it with those behind it when it holds less than `count` bytes. */
  #joined(count: number): Buffer {
    const first = this.#chunks[0] ?? Buffer.alloc(0);
    if (first.length >= count) return first;
    const joined = Buffer.concat(this.#chunks);
    this.#chunks = [joined];
    return joined;
  }
}
