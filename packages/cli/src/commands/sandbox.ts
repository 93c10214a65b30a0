import {
  type EgressPolicy,
  type PoolSandboxSettings,
  poolSandboxSettings,
  runSandbox,
  type SandboxSettings,
  sandboxSettings,
} from '@slipway/core';
import { stringify } from 'yaml';
import * as z from 'zod';
import { ApiClient, type ApiFlags } from '../api-client.ts';
import type { JsonFlag } from '../options.ts';
import { printJson } from '../print-json.ts';
import { stackPath } from '../stack-path.ts';

/** Whose settings: exactly one of the two. */
export interface SandboxTarget extends ApiFlags, JsonFlag {
  /** `organization/project/stack`. */
  stack?: string;
  /** `organization/pool`. */
  pool?: string;
}

export interface SandboxChanges extends SandboxTarget {
  maximum?: boolean;
  reset?: boolean;
  cpus?: number;
  memoryMib?: number;
  volumeGib?: number;
  egress?: EgressPolicy['mode'];
  allowHosts?: string[];
  runSeconds?: number;
  stepSeconds?: number;
  silenceSeconds?: number;
  logMib?: number;
}

const stackAnswer = z.object({
  settings: sandboxSettings,
  effective: runSandbox,
  pool: z.object({ id: z.string(), name: z.string() }),
});
const pools = z.object({ agentPools: z.array(z.object({ id: z.string(), name: z.string() })) });

/** `slipway sandbox show`: what a pool or a stack says of its sandboxes, and what a run of the stack gets. */
export async function showSandbox(flags: SandboxTarget): Promise<void> {
  const api = await ApiClient.open(flags, process.env);
  const target = targetOf(flags);
  const answer =
    target.kind === 'stack'
      ? await api.call(stackAnswer, 'GET', target.path)
      : await api.call(poolSandboxSettings, 'GET', await poolPath(api, target));
  print(answer, flags);
}

/** `slipway sandbox set`: changes what is named, and leaves the rest; `--reset` begins with nothing. */
export async function setSandbox(flags: SandboxChanges): Promise<void> {
  const api = await ApiClient.open(flags, process.env);
  const target = targetOf(flags);
  if (target.kind === 'stack') {
    if (flags.maximum) throw new Error('--maximum belongs to a pool: a stack asks, and a pool limits.');
    const before = flags.reset ? {} : (await api.call(stackAnswer, 'GET', target.path)).settings;
    print(await api.call(stackAnswer, 'PUT', target.path, changed(before, flags)), flags);
    return;
  }
  const path = await poolPath(api, target);
  const before: PoolSandboxSettings = flags.reset
    ? { defaults: {}, maximum: {} }
    : await api.call(poolSandboxSettings, 'GET', path);
  const part = flags.maximum ? 'maximum' : 'defaults';
  const after = { ...before, [part]: changed(before[part], flags) };
  print(await api.call(poolSandboxSettings, 'PUT', path, after), flags);
}

type Target =
  | { readonly kind: 'stack'; readonly path: string }
  | { readonly kind: 'pool'; readonly organization: string; readonly pool: string };

function targetOf({ stack, pool }: SandboxTarget): Target {
  if ((stack === undefined) === (pool === undefined))
    throw new Error(
      'Name either a stack (--stack organization/project/stack) or a pool (--pool organization/pool).',
    );
  if (stack !== undefined) return { kind: 'stack', path: `/api/slipway/stacks/${stackPath(stack)}/sandbox` };
  const [organization = '', name = '', ...rest] = (pool ?? '').split('/');
  if (organization !== '' && name !== '' && rest.length === 0)
    return { kind: 'pool', organization, pool: name };
  throw new Error(`"${pool}" is not a pool; write it as organization/pool, like local/default.`);
}

async function poolPath(
  api: ApiClient,
  { organization, pool }: Extract<Target, { kind: 'pool' }>,
): Promise<string> {
  const prefix = `/orgs/${encodeURIComponent(organization)}/agent-pools`;
  const { agentPools } = await api.call(pools, 'GET', `/api${prefix}`);
  const found = agentPools.find(({ name }) => name === pool);
  if (found) return `/api/slipway${prefix}/${found.id}/sandbox`;
  const names = agentPools.map(({ name }) => name).join(', ');
  throw new Error(`The organization "${organization}" has no pool "${pool}"; it has: ${names}.`);
}

function changed(before: SandboxSettings, flags: SandboxChanges): SandboxSettings {
  const { cpus, memoryMib: memoryMiB, volumeGib: volumeGiB, logMib: logMiB } = flags;
  const { runSeconds, stepSeconds, silenceSeconds } = flags;
  const size = { ...before.size, ...given({ cpus, memoryMiB, volumeGiB }) };
  const timeLimits = { ...before.timeLimits, ...given({ runSeconds, stepSeconds, silenceSeconds }) };
  const egress = egressOf(flags) ?? before.egress;
  return {
    ...before,
    ...(Object.keys(size).length > 0 && { size }),
    ...(Object.keys(timeLimits).length > 0 && { timeLimits }),
    ...(egress && { egress }),
    ...(logMiB !== undefined && { logMiB }),
  };
}

function egressOf({ egress, allowHosts }: SandboxChanges): EgressPolicy | undefined {
  if (allowHosts !== undefined && (egress ?? 'allow') === 'allow')
    return { mode: 'allow', hosts: allowHosts };
  if (allowHosts !== undefined)
    throw new Error(`--allow-hosts belongs to --egress allow, not to --egress ${egress}.`);
  if (egress === 'allow')
    throw new Error('--egress allow needs --allow-hosts with the hosts that may be reached.');
  return egress && { mode: egress };
}

function given(members: Readonly<Record<string, number | undefined>>): Record<string, number> {
  return Object.fromEntries(
    Object.entries(members).flatMap(([name, value]) => (value === undefined ? [] : [[name, value]])),
  );
}

function print(answer: object, { json }: JsonFlag): void {
  if (json) printJson(answer);
  else console.log(stringify(answer).trimEnd());
}
