import { readFileSync } from 'node:fs';
import { descendants } from '../../packages/runner/src/testing/host-processes.ts';
import type { Deployment, TimedLine } from './api.ts';
import type { SeparateSlipway } from './separate-slipway.ts';

/** Without what a process shares with others, beyond what it had when the flood began. */
const mostGrowthMiB = 64;
/** Of what the same writer puts through a pipe to a program that throws it away. */
const leastShareOfReference = 0.15;

export interface FloodResult {
  /** How much each process that was there when the flood began has grown at most, by its name and id; the largest first. */
  readonly grownMiB: ReadonlyMap<string, number>;
  /** Numbers of the lines in the log, up to the cut. */
  readonly kept: readonly number[];
  /** Numbers of the last lines, after it. */
  readonly last: readonly number[];
  /** What the log says about the cut, and how many lines are missing; empty and 0 where it was not cut. */
  readonly cut: { readonly notice: string; readonly missingLines: number };
  /** Megabytes a second that came through up to the cut and behind it, and that the writer writes with nobody to wait for. */
  readonly rates: { readonly untilCut: number; readonly behindCut: number; readonly reference: number };
}

const sampleMilliseconds = 500;
const referenceSeconds = 2;
const lineBytes = 100;
/** Numbered lines of at least 100 bytes (`cat -n` gives a number at least six places), at many hundred megabytes a second. */
const writer = `yes ${'x'.repeat(92)} | cat -n`;
const writeFor = (seconds: number) => `timeout ${seconds} sh -c '${writer}'`;
const reference = `${writeFor(referenceSeconds)} | LC_ALL=C dd of=/dev/null bs=64k 2>&1 | tail -n 1`;

/** A run that writes numbered lines for so many seconds, as fast as it can; before and after it, the reference. */
export async function floodLog(
  slipway: SeparateSlipway,
  { seconds, logMiB }: { readonly seconds: number; readonly logMiB: number },
): Promise<FloodResult> {
  const stack = await slipway.makeStack(`flood-${seconds}-${logMiB}`);
  await slipway.api.expect('PUT', `/api/slipway/stacks/${stack.name}/sandbox`, { logMiB });
  const run = await stack.deploy(
    `echo "it begins"; sleep 2; ${reference}`,
    `${writeFor(seconds)}; true`,
    reference,
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
export function faultsOf({ grownMiB, kept, last, cut, rates }: FloodResult): string[] {
  const [firstOfLast = 0] = last;
  const share = rates.behindCut / rates.reference;
  return [
    ...[...grownMiB].flatMap(([process, mebibytes]) =>
      mebibytes < mostGrowthMiB ? [] : [`${process} grew by ${mebibytes.toFixed(0)} MiB`],
    ),
    ...(isConsecutive(kept, 1) ? [] : ['lines before the cut are missing or come twice']),
    ...(isConsecutive(last, firstOfLast) ? [] : ['lines at the end are missing or come twice']),
    ...(cut.notice === '' || firstOfLast === kept.length + cut.missingLines + 1
      ? []
      : [`${cut.missingLines} lines are said to be missing between ${kept.length} and ${firstOfLast}`]),
    ...(cut.notice === '' || share >= leastShareOfReference
      ? []
      : [`the writer was held back behind the cut to ${share.toFixed(3)} of what it can write`]),
  ];
}

function isConsecutive(numbers: readonly number[], first: number): boolean {
  return numbers.every((number, index) => number === first + index);
}

/** Says how fast a flood was. */
export function describeRates({ untilCut, behindCut, reference }: FloodResult['rates']): string {
  const [until, behind, alone] = [untilCut, behindCut, reference].map((rate) => rate.toFixed(1));
  const share = (behindCut / reference).toFixed(2);
  return `${until} MB/s up to the limit, ${behind} MB/s beyond it: ${share} of the ${alone} MB/s that the writer puts into a pipe`;
}

/** Bytes that the writer has got rid of in all, up to the line with the highest number in the log. */
export function writtenBytes({ kept, last }: Pick<FloodResult, 'kept' | 'last'>): number {
  const lines = last.at(-1) ?? kept.at(-1) ?? 0;
  let bytes = lines * lineBytes;
  for (let longer = 1_000_000; longer <= lines; longer *= 10) bytes += lines - longer + 1;
  return bytes;
}

async function readBack(run: Deployment): Promise<Omit<FloodResult, 'grownMiB'>> {
  const log = await run.timedLog();
  const at = log.findIndex(({ text }) => text.startsWith('[The log has reached its limit'));
  const [until, behind] = at < 0 ? [log, []] : [log.slice(0, at), log.slice(at)];
  const [kept, last] = [numberedLines(until), numberedLines(behind)];
  const summary = log.flatMap(({ text }) => /^\[([\d,]+) lines of about/.exec(text)?.[1] ?? [])[0];
  const numbers = (lines: readonly NumberedLine[]) => lines.map(({ number }) => number);
  return {
    kept: numbers(kept),
    last: numbers(last),
    cut: { notice: log[at]?.text ?? '', missingLines: Number(summary?.replaceAll(',', '') ?? 0) },
    rates: {
      untilCut: rateBetween(kept[0], kept.at(-1)),
      behindCut: rateBetween(kept.at(-1), last.at(-1)),
      reference: Math.min(...log.flatMap(({ text }) => referenceRate(text) ?? [])),
    },
  };
}

interface NumberedLine {
  readonly number: number;
  readonly at: Date;
}

function numberedLines(lines: readonly TimedLine[]): NumberedLine[] {
  return lines.flatMap(({ text, at }) => {
    const number = /^\s*(\d+)\tx+$/.exec(text)?.[1];
    return number === undefined ? [] : [{ number: Number(number), at }];
  });
}

/** In megabytes a second. */
function rateBetween(first: NumberedLine | undefined, last: NumberedLine | undefined): number {
  if (!first || !last) return 0;
  return ((last.number - first.number) * lineBytes) / 1000 / (last.at.getTime() - first.at.getTime());
}

/** What `dd` says at its end, in megabytes a second. */
function referenceRate(line: string): number | undefined {
  const [, bytes, seconds] = /^(\d+) bytes .*copied, ([\d.]+) s,/.exec(line) ?? [];
  return bytes === undefined ? undefined : Number(bytes) / 1e6 / Number(seconds);
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
