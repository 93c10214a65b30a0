import {
  causes,
  type EgressContact,
  type EgressRecord,
  placeOf,
  type RunOutcome,
  type RunState,
  remediesOf,
  type SandboxFacts,
} from '@slipway/core';
import { amountOfBytes, duration, timeOf } from './amounts.ts';
import { indented } from './indented.ts';
import type { RunFacts } from './run-facts.ts';
import { shown, shownLine } from './shown.ts';
import { table } from './table.ts';
import { chartPage, peaksPage } from './usage-page.ts';

const titleCharacters = 11;
const namedPlaces = 10;

/** How a run went and what it used, as lines for a terminal. */
export function runPage(run: RunFacts): string[] {
  const parts = [
    [`${run.stack} #${run.number}, ${run.operation}: ${stateOf(run)}`, ...causePage(run)],
    factsPage(run),
    stepsPage(run),
    phasesPage(run),
    run.usage ? ['Used', ...peaksPage(run.usage, run.sandbox?.size).map(indented)] : [],
    run.samples.length > 0 ? chartPage(run.samples) : [],
    run.egress ? egressPage(run.egress) : [],
  ];
  return parts
    .filter((lines) => lines.length > 0)
    .flatMap((lines, index) => (index > 0 ? ['', ...lines] : lines));
}

/** `failed (out-of-memory)`, `running`. */
function stateOf(run: {
  readonly state: RunState;
  readonly outcome: RunOutcome | null;
  readonly cause: string | null;
}): string {
  if (run.state !== 'finished') return run.state;
  return run.cause === null ? `${run.outcome}` : `${run.outcome} (${run.cause})`;
}

function causePage({ cause, message, waiting }: RunFacts): string[] {
  if (waiting !== undefined) return [indented(shownLine(waiting))];
  if (cause === null) return [];
  const { sentence, remedy } = causes[cause];
  return [sentence, ...(message ? [shown(message, 4)] : []), `Next step: ${remedy}`].map(indented);
}

function factsPage(run: RunFacts): string[] {
  const { sandbox, runner } = run;
  const facts: [title: string, text: string | undefined][] = [
    ['run', run.id],
    ['queued', timeOf(run.createdAt)],
    ['started', run.startedAt === null ? undefined : since(run.createdAt, run.startedAt)],
    ['finished', run.finishedAt === null ? undefined : since(run.startedAt ?? run.createdAt, run.finishedAt)],
    ['cancelled', run.cancelRequestedAt === null ? undefined : timeOf(run.cancelRequestedAt)],
    ['runner', runner ? `${runner.hostname} (Slipway ${runner.version})${claimsOf(run)}` : undefined],
    ...(sandbox ? sandboxPage(sandbox) : []),
    ['cache', run.cache ?? undefined],
  ];
  return facts.flatMap(([title, text]) =>
    text === undefined ? [] : [`${title.padEnd(titleCharacters)}${shown(text, titleCharacters)}`],
  );
}

function since(before: string, time: string): string {
  return `${timeOf(time)}, after ${duration(Math.max(0, Date.parse(time) - Date.parse(before)))}`;
}

function claimsOf({ claims }: RunFacts): string {
  return claims > 1 ? `, claimed ${claims} times` : '';
}

function sandboxPage(sandbox: SandboxFacts): [string, string | undefined][] {
  const { isolation, accelerated, size } = sandbox;
  const acceleration = { true: ', accelerated by hardware', false: ', in software emulation', null: '' };
  return [
    ['isolation', `${isolation}${acceleration[`${accelerated}`]}`],
    [
      'size',
      size &&
        `${size.cpus} vCPU, ${amountOfBytes(size.memoryMiB * 1024 ** 2)} memory, ${size.volumeGiB} GiB volume`,
    ],
    ['image', `${sandbox.imageReference}\n${sandbox.imageDigest}`],
    ['kernel', `Linux ${sandbox.kernelRelease}${sandbox.kernelDigest ? `\n${sandbox.kernelDigest}` : ''}`],
  ];
}

function stepsPage({ steps }: RunFacts): string[] {
  if (steps.length === 0) return [];
  const rows = steps.map(({ name, status, startedAt, updatedAt }) => {
    const took =
      startedAt === null || updatedAt === null ? '' : duration(Date.parse(updatedAt) - Date.parse(startedAt));
    return [shownLine(name), status, status === 'running' ? '' : took];
  });
  return ['Steps', ...table(rows).map(indented)];
}

function phasesPage({ phaseMilliseconds }: RunFacts): string[] {
  const phases = Object.entries(phaseMilliseconds);
  if (phases.length === 0) return [];
  return ['Phases', ...table(phases.map(([name, time]) => [shownLine(name), duration(time)])).map(indented)];
}

function egressPage({ contacted, refused, unlisted }: EgressRecord): string[] {
  const hasRefused = refused.length > 0 || unlisted.refused > 0;
  return [
    'Network',
    `  contacted: ${places(contacted, unlisted.contacted)}`,
    `  refused: ${places(refused, unlisted.refused)}`,
    ...(hasRefused ? remediesOf(refused).map(indented) : []),
  ];
}

function places(listed: readonly (EgressContact & { readonly reason?: string })[], unlisted: number): string {
  if (listed.length === 0 && unlisted === 0) return 'nothing';
  const named = listed
    .slice(0, namedPlaces)
    .map(
      ({ count, reason, ...place }) =>
        `${shownLine(placeOf({ ...place, count }))} ${count}×${reason ? ` (${reason})` : ''}`,
    );
  const others = listed.length - named.length;
  if (others > 0) named.push(`${others} more places (--json names them)`);
  if (unlisted > 0) named.push(`${unlisted} connections to places that are not listed`);
  return named.join(', ');
}
