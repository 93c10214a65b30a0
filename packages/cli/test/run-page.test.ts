import type { ResourceUse, UsageSample } from '@slipway/core';
import { describe, expect, test } from 'vitest';
import { amountOfBytes, duration } from '../src/runs/amounts.ts';
import type { RunFacts } from '../src/runs/run-facts.ts';
import { runPage } from '../src/runs/run-page.ts';
import { sparkline } from '../src/runs/sparkline.ts';

const mebibyte = 1024 ** 2;

function useOf(given: Partial<ResourceUse>): ResourceUse {
  return {
    ...{ cpuMilliseconds: 0, memoryBytes: 0, volumeBytes: 0, receivedBytes: 0, sentBytes: 0 },
    ...given,
  };
}

const sampleOf = (sandbox: ResourceUse | null, host: ResourceUse | null = null): UsageSample => {
  return { at: '2026-01-01T00:00:00.000Z', seconds: 1, sandbox, host };
};

const queued: RunFacts = {
  ...{ id: '00000000-0000-4000-8000-000000000000', stack: 'acme/shop/dev', number: 3, operation: 'update' },
  ...{
    state: 'queued',
    outcome: null,
    cause: null,
    message: null,
    claims: 0,
    waiting: 'It waits for a runner.',
  },
  ...{ createdAt: '2026-01-01T00:00:00.000Z', startedAt: null, finishedAt: null, cancelRequestedAt: null },
  ...{ steps: [], runner: null, sandbox: null, phaseMilliseconds: {}, egress: null, usage: null },
  ...{ cache: null, samples: [] },
};

test('a run that waits says why, and nothing of what it has not done yet', () => {
  expect(runPage(queued)).toEqual([
    'acme/shop/dev #3, update: queued',
    '  It waits for a runner.',
    '',
    `run        ${queued.id}`,
    'queued     2026-01-01 00:00:00Z',
  ]);
});

test('what a run or its runner has chosen does nothing to a terminal, and cannot look like a line of the page', () => {
  const lines = runPage({
    ...queued,
    ...{ state: 'finished', outcome: 'failed', cause: 'guest-panic', waiting: undefined },
    message: 'Its console:\n\u001b]0;title\u0007\u001b[8mrun        forged\rrun',
    runner: { hostname: 'host\u009b2J', version: '1\n2' },
    steps: [{ name: 'a\nb\u001b[2J', status: 'failed', startedAt: null, updatedAt: null }],
    egress: {
      contacted: [],
      refused: [
        {
          ...{ hosts: ['evil\u001b[2J.example'], address: null, port: 443, protocol: 'tcp', count: 2 },
          ...{ lastAt: '2026-01-01T00:00:00.000Z', reason: 'policy' },
        },
      ],
      unlisted: { contacted: 0, refused: 7 },
    },
  });
  const page = lines.join('\n');
  // biome-ignore lint/suspicious/noControlCharactersInRegex: none of them may be there
  expect(page).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f]/);
  expect(page.split('\n').filter((line) => line.startsWith('run '))).toEqual([`run        ${queued.id}`]);
  expect(page).toContain('    ␛]0;title␇run        forged␍run');
  expect(page).toContain('evil␛[2J.example:443 2× (policy), 7 connections to places that are not listed');
  expect(page).toContain('Allow it with "egress"');
});

test('what is one line of the page stays one, and in the order in which it is written', () => {
  const forged = '\n  refused: nothing\u202e';
  const place = { hosts: [`evil${forged}`], address: null, port: 443, protocol: 'tcp', count: 2 };
  const lastAt = '2026-01-01T00:00:00.000Z';
  const page = (given: Partial<RunFacts>) => runPage({ ...queued, ...given }).join('\n');
  expect(page({ waiting: `It waits for host${forged}` })).toContain(
    '  It waits for host refused: nothing\uFFFD\n',
  );
  const ended = page({
    ...{ state: 'finished', outcome: 'failed', cause: 'guest-panic', waiting: undefined },
    message: 'one\u202etwo',
    steps: [{ name: `a${forged}`, status: 'failed', startedAt: null, updatedAt: null }],
    phaseMilliseconds: { [`boot${forged}`]: 7 },
    egress: {
      contacted: [{ ...place, lastAt }],
      refused: [{ ...place, lastAt, reason: 'policy' }],
      unlisted: { contacted: 0, refused: 0 },
    },
  });
  expect(ended).not.toContain('\u202e');
  expect(ended.match(/^ {2}refused: .*$/gm)).toEqual([
    '  refused: evil refused: nothing\uFFFD:443 2× (policy)',
  ]);
});

test('what was used is drawn over time: what is held at its height, what adds up as its speed', () => {
  const sandboxes = [0, 1000, 3000, 3000].map((cpuMilliseconds, second) =>
    useOf({ cpuMilliseconds, memoryBytes: (second + 1) * mebibyte, sentBytes: 1024 * second }),
  );
  const page = runPage({ ...queued, samples: sandboxes.map((use) => sampleOf(use, useOf({}))) }).join('\n');
  expect(page).toContain('Over time, inside (a column is 1.0 s)');
  expect(page).toMatch(/^ {2}CPU +▁▄█▁ {2}█ = 2\.00$/m);
  expect(page).toMatch(/^ {2}memory +▂▄▆█ {2}█ = 4\.0 MiB$/m);
  expect(page).toMatch(/^ {2}volume +▁▁▁▁ {2}█ = 0 B$/m);
  expect(page).toMatch(/^ {2}sent +▁███ {2}█ = 1\.0 KiB\/s$/m);
});

test('where nothing was told inside, it is drawn as the host has seen it', () => {
  const page = runPage({ ...queued, samples: [sampleOf(null, useOf({ memoryBytes: mebibyte }))] }).join('\n');
  expect(page).toContain('Over time, on the host');
  expect(page).toMatch(/^ {2}memory +█ {2}█ = 1\.0 MiB$/m);
});

describe('a line over time', () => {
  const seconds = (...values: (number | undefined)[]) => values.map((value) => ({ seconds: 1, value }));

  test('of a long run shows the highest value that each of its columns has seen', () => {
    const values = Array.from({ length: 600 }, (_, second) => (second === 305 ? 8 : 1));
    expect(sparkline(seconds(...values), 60)).toBe(`${'▁'.repeat(30)}█${'▁'.repeat(29)}`);
  });

  test('gives samples of several seconds as many columns, and leaves out what nobody has seen', () => {
    expect(sparkline([...seconds(8, undefined), { seconds: 3, value: 4 }], 60)).toBe('█ ▄▄▄');
    expect(sparkline([], 60)).toBe('');
  });
});

test('times and amounts are said in the unit in which they are a number of few digits', () => {
  expect([340, 12_345, 59_960, 245_000, 7_800_000].map(duration)).toEqual([
    ...['340 ms', '12.3 s', '1 min 0 s', '4 min 5 s', '2 h 10 min'],
  ]);
  expect([512, 1536, 300 * mebibyte, 2048 * mebibyte].map(amountOfBytes)).toEqual([
    ...['512 B', '1.5 KiB', '300 MiB', '2.0 GiB'],
  ]);
});
