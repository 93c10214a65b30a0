import { ApiClient, type ApiFlags } from '../api-client.ts';
import type { JsonFlag } from '../options.ts';
import { printJson } from '../print-json.ts';
import { duration, timeOf } from '../runs/amounts.ts';
import { idOfRun } from '../runs/find-run.ts';
import { type ListedRun, newestRuns } from '../runs/list-runs.ts';
import { factsOfRun } from '../runs/run-facts.ts';
import { runPage } from '../runs/run-page.ts';
import { table } from '../runs/table.ts';

export interface ShowFlags extends ApiFlags, JsonFlag {}

export interface ListFlags extends ShowFlags {
  /** `organization/project/stack`; every stack that the token opens when absent. */
  stack?: string;
  limit: number;
}

/** `slipway run list`: the newest runs, the last one first. */
export async function listRuns({ stack, limit, json, ...flags }: ListFlags): Promise<void> {
  const api = await ApiClient.open(flags, process.env);
  const runs = await newestRuns(api, stack, limit);
  if (json) return printJson(runs);
  if (runs.length === 0) {
    console.log(stack === undefined ? 'There was no run yet.' : `The stack "${stack}" has had no run yet.`);
    return;
  }
  const head = ['run', 'queued', 'stack', 'operation', 'status', 'took'];
  for (const line of table([head, ...runs.map(rowOf)])) console.log(line);
}

/** `slipway run show`: how one run went, and what it used. */
export async function showRun(name: string, { json, ...flags }: ShowFlags): Promise<void> {
  const api = await ApiClient.open(flags, process.env);
  const facts = await factsOfRun(api, await idOfRun(api, name));
  if (json) return printJson(facts);
  for (const line of runPage(facts)) console.log(line);
}

function rowOf({
  id,
  stack,
  number,
  operation,
  status,
  cause,
  createdAt,
  milliseconds,
}: ListedRun): string[] {
  return [
    id,
    timeOf(createdAt),
    `${stack} #${number}`,
    operation,
    cause === null ? status : `${status} (${cause})`,
    milliseconds === null ? '' : duration(milliseconds),
  ];
}
