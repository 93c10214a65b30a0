import * as z from 'zod';
import { type SandboxSize, sandboxSize } from './run.ts';

/**
 * What Pulumi's own deployment settings have no place for: how large a run's sandbox is, how long it may take and what
 * it may reach. A pool gives defaults and a ceiling; a stack may ask for anything below that ceiling. A run takes what
 * both say when it is queued, and keeps it.
 */

const hostName =
  /^(\*\.)?([a-zA-Z0-9_]([a-zA-Z0-9_-]*[a-zA-Z0-9_])?\.)*[a-zA-Z0-9_]([a-zA-Z0-9_-]*[a-zA-Z0-9_])?\.?$/;
const addressOrNetwork = z.union([z.ipv4(), z.ipv6(), z.cidrv4(), z.cidrv6()]);

/** A host name, `*.` and a name (any name below it), an IP address or a network (CIDR). */
export const egressHost = z
  .string()
  .max(255)
  .refine(
    // What looks like an address is none of a host, also when it is a wrong one.
    (host) => (/[:/]|^[\d.]+$/.test(host) ? addressOrNetwork.safeParse(host).success : hostName.test(host)),
    'write a host name, "*." and a name, an IP address, or a network such as 10.1.0.0/16',
  );

/**
 * What a run may reach beside the gateway. Private addresses are a matter of the runner, whatever is allowed here.
 * - `open`: every public address.
 * - `allow`: the hosts that are listed, and nothing else.
 * - `none`: nothing.
 */
export const egressPolicy = z.discriminatedUnion('mode', [
  z.strictObject({ mode: z.literal('open') }),
  z.strictObject({ mode: z.literal('allow'), hosts: z.array(egressHost).min(1).max(1000) }),
  z.strictObject({ mode: z.literal('none') }),
]);
export type EgressPolicy = z.infer<typeof egressPolicy>;

/** Seconds; a limit that is absent does not apply. */
export const timeLimits = z.strictObject({
  /** From the hand-out of the job to the result. */
  runSeconds: z.number().int().min(10).optional(),
  /** For each step on its own. */
  stepSeconds: z.number().int().min(10).optional(),
  /** Without a line in the log. */
  silenceSeconds: z.number().int().min(10).optional(),
});
export type TimeLimits = z.infer<typeof timeLimits>;

/**
 * Whose runs use what a run writes to the dependency cache.
 * - `project`: those of all stacks of the project, in the same pool.
 * - `stack`: its own alone. It may still read what the others wrote.
 */
export const cacheScope = z.enum(['project', 'stack']);
export type CacheScope = z.infer<typeof cacheScope>;

export const sandboxSettings = z.strictObject({
  size: sandboxSize.partial().optional(),
  egress: egressPolicy.optional(),
  timeLimits: timeLimits.optional(),
  cacheScope: cacheScope.optional(),
  /** Longest log of a run, after which it is cut off with a line that says so. */
  logMiB: z.number().int().min(1).max(256).optional(),
});
export type SandboxSettings = z.infer<typeof sandboxSettings>;

/** What a pool says: `defaults` where a stack says nothing, and the most that a stack may ask for. */
export const poolSandboxSettings = z.strictObject({
  defaults: sandboxSettings.default({}),
  maximum: sandboxSettings.default({}),
});
export type PoolSandboxSettings = z.infer<typeof poolSandboxSettings>;

/** What a run gets. A part of the size that nobody set is the runner's own default, or `largestSize` where that is less. */
export const runSandbox = z.object({
  size: sandboxSize.partial(),
  largestSize: sandboxSize.partial().default({}),
  egress: egressPolicy,
  timeLimits,
  cacheScope: cacheScope.default('project'),
  logMiB: z.number().int(),
});
export type RunSandbox = z.infer<typeof runSandbox>;

export const defaultLogMiB = 256;

/** Runs of pools and stacks that say nothing. */
export const defaultRunSandbox: RunSandbox = {
  size: {},
  largestSize: {},
  egress: { mode: 'open' },
  timeLimits: {},
  cacheScope: 'project',
  logMiB: defaultLogMiB,
};

/** The sandbox of a stack's run in a pool: the stack's wishes over the pool's defaults, below the pool's ceiling. */
export function runSandboxOf(pool: PoolSandboxSettings, stack: SandboxSettings): RunSandbox {
  const { defaults, maximum } = pool;
  return {
    size: lowest({ ...defaults.size, ...stack.size }, maximum.size ?? {}),
    largestSize: maximum.size ?? {},
    egress: strictest(stack.egress ?? defaults.egress ?? maximum.egress ?? { mode: 'open' }, maximum.egress),
    timeLimits: lowest(
      { ...maximum.timeLimits, ...defaults.timeLimits, ...stack.timeLimits },
      maximum.timeLimits ?? {},
    ),
    cacheScope:
      maximum.cacheScope === 'stack' ? 'stack' : (stack.cacheScope ?? defaults.cacheScope ?? 'project'),
    logMiB: Math.min(stack.logMiB ?? defaults.logMiB ?? defaultLogMiB, maximum.logMiB ?? defaultLogMiB),
  };
}

/** Why a pool does not grant what a stack wishes: one sentence for each wish above its ceiling. */
export function sandboxObjections({ maximum }: PoolSandboxSettings, stack: SandboxSettings): string[] {
  const tooLarge = [
    ...above('size', stack.size ?? {}, maximum.size ?? {}),
    ...above('timeLimits', stack.timeLimits ?? {}, maximum.timeLimits ?? {}),
    ...above('', { logMiB: stack.logMiB }, { logMiB: maximum.logMiB }),
  ];
  if (maximum.cacheScope === 'stack' && stack.cacheScope === 'project') {
    tooLarge.push('"cacheScope" is "project", and the pool allows "stack" only');
  }
  const { egress } = stack;
  if (egress === undefined || isWithin(egress, maximum.egress)) return tooLarge;
  return [...tooLarge, `"egress" reaches further than the pool allows (${describeEgress(maximum.egress)})`];
}

function describeEgress(policy: EgressPolicy | undefined): string {
  if (policy?.mode === 'allow') return `only ${policy.hosts.join(', ')}`;
  return policy?.mode === 'none' ? 'nothing' : 'everything public';
}

/** The size of a run's sandbox on a runner with these defaults. */
export function completeSize(
  { size, largestSize }: Pick<RunSandbox, 'size' | 'largestSize'>,
  defaults: SandboxSize,
): SandboxSize {
  const part = (name: keyof SandboxSize) =>
    size[name] ?? Math.min(defaults[name], largestSize[name] ?? defaults[name]);
  return { cpus: part('cpus'), memoryMiB: part('memoryMiB'), volumeGiB: part('volumeGiB') };
}

/** `wished` with each part at most as large as in `ceiling`; what only the ceiling names is left to the wish. */
function lowest<T extends Readonly<Record<string, number | undefined>>>(wished: T, ceiling: Partial<T>): T {
  return Object.fromEntries(
    Object.entries(wished).map(([name, value]) => [
      name,
      value === undefined ? undefined : Math.min(value, ceiling[name] ?? value),
    ]),
  ) as T;
}

function above(
  place: string,
  wished: Readonly<Record<string, number | undefined>>,
  ceiling: Readonly<Record<string, number | undefined>>,
): string[] {
  return Object.entries(wished).flatMap(([name, value]) => {
    const most = ceiling[name];
    if (value === undefined || most === undefined || value <= most) return [];
    return [`"${place === '' ? name : `${place}.${name}`}" is ${value}, and the pool allows at most ${most}`];
  });
}

/** What both allow. */
function strictest(wished: EgressPolicy, ceiling: EgressPolicy | undefined): EgressPolicy {
  if (isWithin(wished, ceiling)) return wished;
  if (wished.mode !== 'allow' || ceiling?.mode !== 'allow') return ceiling ?? wished;
  const hosts = wished.hosts.filter((host) => ceiling.hosts.includes(host));
  return hosts.length > 0 ? { mode: 'allow', hosts } : { mode: 'none' };
}

/** Hosts are compared as they are written: a pool that allows a network does not thereby allow its parts by name. */
function isWithin(policy: EgressPolicy, ceiling: EgressPolicy | undefined): boolean {
  if (ceiling === undefined || ceiling.mode === 'open' || policy.mode === 'none') return true;
  if (ceiling.mode === 'none' || policy.mode === 'open') return false;
  return policy.hosts.every((host) => ceiling.hosts.includes(host));
}
