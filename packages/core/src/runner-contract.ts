import * as z from 'zod';
import { capacity } from './capacity.ts';
import { cause } from './cause.ts';
import { cacheGrant } from './dependency-cache.ts';
import { egressRecord } from './egress.ts';
import { harmlessLine, harmlessText } from './harmless-text.ts';
import { job } from './job.ts';
import { linePiece } from './log-line.ts';
import { stackIdentity } from './names.ts';
import { isolationKind, operation, platform, runOutcome, sandboxSize, stepStatus, workflow } from './run.ts';
import { runSandbox } from './sandbox-settings.ts';
import { maximumReportedSamples, usageSample, usageSummary } from './usage.ts';

/**
 * The contract between runner and control plane: JSON over HTTP, POST only, and only the runner calls.
 *
 * `register`, `claim` and `images` carry the pool token (`Authorization: token …`). Every other call carries the lease token
 * of its run (`Authorization: lease …`): it is made anew at each claim, so it is also the fencing token. A call with
 * a lease token that is no longer the run's is answered 409 with code 409: the runner destroys the sandbox and
 * forgets the run.
 *
 * What the runner had read of a run's log by then is still welcome: `late-log` and `lost` carry the delivery token of the
 * claim (`Authorization: delivery …`), which opens nothing else. A runner that was killed in the middle of a run delivers
 * so, when it is started again, what lies in its log spool.
 */
export const runnerContractPath = '/api/slipway/runner/v1';

export const registerRequest = z.object({
  /** Shown to users. */
  hostname: z.string().max(255).transform(harmlessText),
  pid: z.number().int(),
  version: z.string(),
  platform,
  isolation: isolationKind,
  /** How many runs it executes at the same time. */
  slots: z.number().int().min(1),
});
export const registerResponse = z.object({
  runnerId: z.string(),
  poolName: z.string(),
  /** Of the runs that will be claimed (`leaseTimingOf`); each claim says it again for its run. */
  leaseSeconds: z.number(),
  /** Leases are renewed at least this often. */
  heartbeatSeconds: z.number(),
});

export const claimRequest = z.object({
  runnerId: z.string(),
  /** Chosen by the runner for one claim: repeated with the same nonce, the same run is answered again. */
  nonce: z.string().min(16).max(64),
  platform,
  isolation: isolationKind,
  /** A run that does not fit is left to others. */
  capacity: z.object({
    /** The largest sandbox that fits on the host now. */
    now: capacity,
    /** … and that would fit if no other one were there: a run that has waited long for that is not overtaken. */
    empty: capacity,
    /** What a run gets that does not say. */
    defaultSize: sandboxSize,
    /** Beside the volume of a run that keeps dependencies, at most (`spaceOf`). */
    cacheDiskGiB: z.number().nonnegative().default(0),
  }),
  /** The runner takes nothing until its operator resumes it. */
  isPaused: z.boolean(),
  /** How long the control plane may hold the call open, at most 30. */
  waitSeconds: z.number().min(0).max(30),
});

/** Runners name files by it. */
const runId = z.string().regex(/^[A-Za-z0-9-]{1,64}$/);

/** What a runner needs to prepare a sandbox. No secret is in it. */
export const runOutline = z.object({
  runId,
  workflow,
  platform,
  stack: stackIdentity,
  operation,
  deployment: z.object({ id: z.string(), version: z.number().int() }),
  /** Reference of the executor image; null means the runner's default image. */
  imageReference: z.string().nullable(),
  /** What it was granted when it was queued. */
  sandbox: runSandbox,
  /** Which entries of the dependency cache it may use; null where the settings do not ask for it. */
  cache: cacheGrant.nullable().default(null),
  graceSeconds: z.number(),
});
export type RunOutline = z.infer<typeof runOutline>;

/** Answer to `claim`; 204 without a body when nothing is queued for this runner. */
export const claimResponse = z.object({
  run: runOutline,
  leaseToken: z.string(),
  /** For how long each call renews the lease. It stays the same for as long as the claim holds the run. */
  leaseSeconds: z.number(),
  /** Opens `late-log` and `lost` for this claim. */
  deliveryToken: z.string(),
});
export type ClaimResponse = z.infer<typeof claimResponse>;

/** A login at the registry of an executor image. */
export const registryCredentials = z.object({ username: z.string(), password: z.string() });
export type RegistryCredentials = z.infer<typeof registryCredentials>;

/** Asked from the claim on, while the run is prepared. Repeating it is harmless. */
export const imageCredentialsRequest = z.object({});
/** Null: the settings name none, and the runner logs in as its host does. */
export const imageCredentialsResponse = z.object({ credentials: registryCredentials.nullable() });

/** Longest sentence about an image, in characters. */
export const maximumImageProblemCharacters = 1000;

/** An image that a runner could not make ready, in its own words. */
export const imageFailure = z.object({
  /** `WantedImage.id`. */
  imageId: z.string().max(100),
  /** Without the password of the settings' login, and without that which a cloud gave the host. */
  problem: z
    .string()
    .max(2 * maximumImageProblemCharacters)
    .transform((text) => harmlessLine(text, maximumImageProblemCharacters)),
  failedAt: z.iso.datetime(),
});
export type ImageFailure = z.infer<typeof imageFailure>;

/** As many failures a runner tells of; nobody reads more. */
export const maximumImageFailures = 100;

/**
 * Which images runs of the pool may ask for one day: those that the settings of its stacks name. The call is held open
 * until that is something else than `knownRevision` (null: nothing is known), for at most `waitSeconds`.
 */
export const imagesRequest = z.object({
  runnerId: z.string(),
  knownRevision: z.string().max(100).nullable(),
  waitSeconds: z.number().min(0).max(30),
  /**
   * Those of the known images that are not ready since making them so failed, each once; replaced as a whole at each call.
   */
  failures: z
    .array(imageFailure)
    .max(maximumImageFailures)
    .refine((failures) => new Set(failures.map(({ imageId }) => imageId)).size === failures.length, {
      message: 'an image is named twice',
    })
    .default([]),
});
export type ImagesRequest = z.infer<typeof imagesRequest>;
/** An image that somebody may run one day, and the login that its settings name. */
export const wantedImage = z.object({
  /** Names reference and login together, and tells nothing of the password. */
  id: z.string().max(100),
  reference: z.string(),
  credentials: registryCredentials.nullable(),
});
export type WantedImage = z.infer<typeof wantedImage>;
/** Answer to `images`; 204 without a body when the known revision still holds. */
export const imagesResponse = z.object({ revision: z.string(), images: z.array(wantedImage).max(1000) });
export type ImagesResponse = z.infer<typeof imagesResponse>;

/** What an answer may ask of the runner. */
export const runCommand = z.enum(['cancel']);
export type RunCommand = z.infer<typeof runCommand>;

/** Answer to `heartbeat`, `log`, `steps` and `usage`. */
export const runCallResponse = z.object({ command: runCommand.optional() });
export type RunCallResponse = z.infer<typeof runCallResponse>;

export const heartbeatRequest = z.object({});

/** Asked once, when the executor said `ready`. From then on the run counts as `running`. Repeating it is harmless. */
export const jobRequest = z.object({});
export const jobResponse = z.object({ job });

/** The highest number that a runner may give to a line: what the control plane adds itself comes after all of them. */
export const lastLogSequence = 899_999_999;

/** What a line counts for beside the bytes of its text, where the length of a log is limited. */
export const logLineOverheadBytes = 64;

/** Most lines of a chunk. */
export const maximumChunkLines = 2000;

/**
 * Lines of a run's log that follow each other and were told at once: a flood costs by its bytes then, and not by its lines.
 * Lines count 1, 2, 3 … within the run, `sequence` is the number of the first; the control plane stores each number once, so
 * a batch may be sent again. Several lines stand in `text` with newlines between them; one alone may have newlines inside.
 * A `header` starts a step and carries its name. A `notice` is the runner's own. A piece of a longer line is a chunk alone.
 */
export const logChunk = z
  .object({
    sequence: z.number().int().min(1).max(lastLogSequence),
    lineCount: z.number().int().min(1).max(maximumChunkLines).default(1),
    step: z.number().int().min(0),
    kind: z.enum(['header', 'line', 'notice']),
    timestamp: z.iso.datetime(),
    text: z.string(),
    piece: linePiece.optional(),
  })
  .refine(({ sequence, lineCount }) => sequence + lineCount - 1 <= lastLogSequence, {
    message: 'the number of its last line is too high',
  })
  .refine(({ lineCount, text }) => lineCount === 1 || countNewlines(text) === lineCount - 1, {
    message: 'it has another number of lines',
  })
  .refine(({ piece, kind, lineCount }) => !piece || (kind === 'line' && lineCount === 1), {
    message: 'a piece of a line comes alone',
  });
export type LogChunk = z.infer<typeof logChunk>;
/** One line of a log. */
export type LogLine = Omit<LogChunk, 'lineCount'>;
export const logRequest = z.object({ lines: z.array(logChunk).max(2000) });

/** The texts of a chunk's lines. */
export function linesOf({ lineCount, text }: Pick<LogChunk, 'lineCount' | 'text'>): string[] {
  return lineCount === 1 ? [text] : text.split('\n');
}

/** How many newlines are in a text. */
export function countNewlines(text: string): number {
  let count = 0;
  for (let at = text.indexOf('\n'); at >= 0; at = text.indexOf('\n', at + 1)) count += 1;
  return count;
}

/** How long after a run has ended without its runner the last lines of its log are taken. */
export const lateLogHours = 24;

/** Lines that the lost runner of a run had read. They are taken as those of `log` are, and renew no lease. */
export const lateLogRequest = logRequest;

/**
 * The runner that held the run is gone, and so is its sandbox; no more lines of it will come. A run that has not ended
 * yet is dealt with at once as when its lease had ended.
 */
export const lostRequest = z.object({});

export const stepReport = z.object({
  name: z.string(),
  status: stepStatus,
  startedAt: z.iso.datetime().nullable(),
  updatedAt: z.iso.datetime().nullable(),
});
export type StepReport = z.infer<typeof stepReport>;

/** What the run really ran on: named on each run. Digests are `sha256:…`. */
export const sandboxFacts = z.object({
  isolation: isolationKind,
  /** Absent where an older runner reported. */
  size: sandboxSize.optional(),
  /** Hardware acceleration; false under software emulation, null where it does not apply. */
  accelerated: z.boolean().nullable(),
  imageReference: z.string(),
  imageDigest: z.string(),
  toolboxDigest: z.string(),
  /** Kernel and initramfs of the guest; null where the sandbox shares the host's kernel. */
  kernelDigest: z.string().nullable(),
  initramfsDigest: z.string().nullable(),
  kernelRelease: z.string(),
  /** `/proc/sys/kernel/random/boot_id` as seen inside the sandbox. */
  bootId: z.string(),
});
export type SandboxFacts = z.infer<typeof sandboxFacts>;

/** All steps of the run, replaced as a whole at each call. */
export const stepsRequest = z.object({
  steps: z.array(stepReport).max(101),
  sandbox: sandboxFacts.optional(),
});

/**
 * What the run has used: the summary of all of it so far, and samples that were not stored yet. A sample is known by its
 * time and stored once; the newest summary counts.
 */
export const usageRequest = z.object({
  summary: usageSummary,
  samples: z.array(usageSample).max(maximumReportedSamples),
});
export type UsageReport = z.infer<typeof usageRequest>;

/** The sandbox is proven gone: the stack is free from here on. */
export const finishRequest = z.object({
  outcome: runOutcome.exclude(['skipped']),
  cause: cause.optional(),
  message: z.string().max(8192).optional(),
  /** Milliseconds each phase took, by the runner's monotonic clock (image, volume, boot, ready, job, …). */
  phaseMilliseconds: z.record(z.string(), z.number()),
  /** Number of the last log line; the runner sends `finish` only when all were acknowledged. */
  lastSequence: z.number().int().min(0),
  /** Where the run went; absent where it had no network yet. */
  egress: egressRecord.optional(),
  /** What it used, with what `usage` has not brought yet; absent where there was no sandbox. */
  usage: usageRequest.optional(),
});
export type FinishRequest = z.infer<typeof finishRequest>;

export type RegisterRequest = z.infer<typeof registerRequest>;
export type RegisterResponse = z.infer<typeof registerResponse>;
export type ClaimRequest = z.infer<typeof claimRequest>;
