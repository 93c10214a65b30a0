import { readFileSync } from 'node:fs';
import type { Deployment } from './api.ts';
import { descendants } from './sandbox-processes.ts';
import type { SeparateSlipway } from './separate-slipway.ts';

/** Without what a process shares with others, beyond what it had when the flood began. */
const mostGrowthMiB = 64;

export interface FloodResult {
  /** How much each process that was there when the flood began has grown at most, by its name and id; the largest first. */
  readonly grownMiB: ReadonlyMap<string, number>;
  /** Numbers of the lines in the log, up to the cut. */
  readonly kept: readonly number[];
  /** Numbers of the last lines, after it. */
  readonly last: readonly number[];
  /** What the log says about the cut, and how many lines are missing; empty and 0 where it was not cut. */
  readonly cut: { readonly notice: string; readonly missingLines: number };
}

const sampleMilliseconds = 200;
/** With its number and the end of the line, 100 bytes. */
const filling = 'x'.repeat(92);

/** A run that writes numbered lines of 100 bytes for so many seconds, as fast as it can. */
export async function floodLog(
  slipway: SeparateSlipway,
  { seconds, logMiB }: { readonly seconds: number; readonly logMiB: number },
): Promise<FloodResult> {
  const stack = await slipway.makeStack(`flood-${seconds}-${logMiB}`);
  await slipway.api.expect('PUT', `/api/slipway/stacks/${stack.name}/sandbox`, { logMiB });
  const run = await stack.deploy(
    `echo "it begins"; sleep 2; timeout ${seconds} sh -c 'yes ${filling} | cat -n'; true`,
  );
  await run.logged(/^it begins$/);
  const before = privateMiB(slipway);
  const most = new Map(before);
  const measuring = setInterval(() => {
    const now = privateMiB(slipway);
    for (const [name, mebibytes] of most) most.set(name, Math.max(now.get(name) ?? 0, mebibytes));
  }, sampleMilliseconds);
  try {
    await run.finished(seconds * 1000 + 300_000);
  } finally {
    clearInterval(measuring);
  }
  const grown = [...before].map(([name, then]) => [name, (most.get(name) ?? 0) - then] as const);
  return { grownMiB: new Map(grown.toSorted(([, a], [, b]) => b - a)), ...(await readBack(run)) };
}

/** What a flood should not have done. */
export function faultsOf({ grownMiB, kept, last, cut }: FloodResult): string[] {
  const [firstOfLast = 0] = last;
  return [
    ...[...grownMiB].flatMap(([process, mebibytes]) =>
      mebibytes < mostGrowthMiB ? [] : [`${process} grew by ${mebibytes.toFixed(0)} MiB`],
    ),
    ...(isConsecutive(kept, 1) ? [] : ['lines before the cut are missing or come twice']),
    ...(isConsecutive(last, firstOfLast) ? [] : ['lines at the end are missing or come twice']),
    ...(cut.notice === '' || firstOfLast === kept.length + cut.missingLines + 1
      ? []
      : [`${cut.missingLines} lines are said to be missing between ${kept.length} and ${firstOfLast}`]),
  ];
}

function isConsecutive(numbers: readonly number[], first: number): boolean {
  return numbers.every((number, index) => number === first + index);
}

async function readBack(run: Deployment): Promise<Omit<FloodResult, 'grownMiB'>> {
  const log = await run.log();
  const at = log.findIndex((line) => line.startsWith('[The log has reached its limit'));
  const numbers = (lines: readonly string[]) =>
    lines.flatMap((line) => /^\s*(\d+)\tx+$/.exec(line)?.[1] ?? []).map(Number);
  const summary = log.map((line) => /^\[([\d,]+) lines of about/.exec(line)?.[1]).find((text) => text);
  return {
    kept: numbers(at < 0 ? log : log.slice(0, at)),
    last: numbers(at < 0 ? [] : log.slice(at)),
    cut: { notice: log[at] ?? '', missingLines: Number(summary?.replaceAll(',', '') ?? 0) },
  };
}

/** Of the control plane, its database, the runner and its sandbox, without what is shared with other processes. */
function privateMiB({ server, runner }: SeparateSlipway): Map<string, number> {
  const ids = [server.pid, runner.pid].flatMap((pid) => [pid, ...descendants(pid)]);
  return new Map(
    ids.flatMap((id) => {
      try {
        const rollup = readFileSync(`/proc/${id}/smaps_rollup`, 'utf8');
        const [, command = ''] =
          / (\S+)$/.exec(
            readFileSync(`/proc/${id}/cmdline`, 'utf8').replaceAll('\0', ' ').slice(0, 90).trim(),
          ) ?? [];
        const name = id === server.pid ? 'server' : id === runner.pid ? 'runner' : command;
        const kilobytes = [...rollup.matchAll(/^Private_\w+:\s+(\d+) kB$/gm)].map((match) =>
          Number(match[1]),
        );
        return [[`${name} ${id}`, kilobytes.reduce((sum, part) => sum + part, 0) / 1024] as const];
      } catch {
        return []; // it has ended
      }
    }),
  );
}
