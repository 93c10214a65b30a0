import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import * as z from 'zod';
import { replayJournal } from '../src/stacks/journal-replay.ts';

const replayer = { cliVersion: '3.259.0', now: new Date('2026-01-02T03:04:05Z') };

const json = z.record(z.string(), z.unknown());
const journalCase = z.object({ base: json, entries: z.array(json), expected: z.unknown() });
const cases = readFileSync(join(import.meta.dirname, 'journal', 'cases.jsonl'), 'utf8')
  .trim()
  .split('\n')
  .map((line) => journalCase.parse(JSON.parse(line)));

const state = z.looseObject({
  features: z.array(z.string()).nullish(),
  deployment: z.looseObject({
    pending_operations: z.array(z.unknown()).optional(),
    metadata: z.unknown().optional(),
  }),
});

/** What counts: the CLI names no order for pending operations, and writes an empty `features` and `metadata`. */
function comparable(value: unknown) {
  const { features, deployment, ...others } = state.parse(value);
  const { manifest: _manifest, metadata: _metadata, pending_operations, ...rest } = deployment;
  const pending = pending_operations?.map((operation) => JSON.stringify(sorted(operation))).sort();
  return { ...others, features: features ?? [], deployment: { ...rest, pending } };
}

function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .sort()
      .map(([name, member]) => [name, sorted(member)]),
  );
}

test.each(cases.map((each, index) => ({ number: index + 1, ...each })))(
  "journal $number becomes the state that the CLI's own replay makes of it",
  ({ base, entries, expected }) => {
    const texts = entries.map((entry) => JSON.stringify(entry));
    const replayed = replayJournal(JSON.stringify({ version: 3, deployment: base }), texts, replayer);
    expect(comparable(JSON.parse(replayed))).toEqual(comparable(expected));
  },
);

const empty =
  '{"version":3,"deployment":{"manifest":{"time":"0001-01-01T00:00:00Z","magic":"","version":""}}}';

test('resources stay to the letter, and so does what this version does not know', () => {
  const old =
    '{"urn":"urn:pulumi:d::p::a:b:C::old","inputs":{"n":1.0,"big":12345678901234567890}, "later":[1.10]}';
  const made = '{"urn":"urn:pulumi:d::p::a:b:C::new","inputs":{"zero":"\\u0000","exponent":1e400}}';
  const base = `{"version":4,"features":["byteString"],"deployment":{"future":{"z":1.0,"a":2},"resources":[${old}]}}`;
  const entry = `{"version":1,"kind":1,"sequenceID":1,"operationID":1,"removeOld":null,"state":${made}}`;
  const replayed = replayJournal(base, [entry], replayer);
  expect(replayed).toContain('"future":{"z":1.0,"a":2}');
  expect(replayed).toContain(`"resources":[${made},${old.replace(', "later"', ',"later"')}]`);
  // Nothing in the resources shows it: it must not get lost.
  expect(JSON.parse(replayed)).toMatchObject({ version: 4, features: ['byteString'] });
});

test('the manifest names the CLI, with the magic by which it is checked', () => {
  const { deployment } = JSON.parse(replayJournal(empty, [], replayer));
  expect(deployment.manifest).toEqual({
    time: '2026-01-02T03:04:05.000Z',
    version: '3.259.0',
    magic: createHash('sha256').update('3.259.0').digest('hex'),
  });
  const unnamed = JSON.parse(replayJournal(empty, [], { ...replayer, cliVersion: '' }));
  expect(unnamed.deployment.manifest).toMatchObject({ version: '', magic: '' });
});

test('an entry that refers to what is not there changes nothing', () => {
  const entry = { version: 1, kind: 1, sequenceID: 1, operationID: 1 };
  const references = { removeOld: 7, removeNew: 8, deleteOld: 7, deleteNew: 8, pendingReplacementNew: 8 };
  const resource = { urn: 'urn:pulumi:d::p::a:b:C::kept', custom: false, type: 'a:b:C' };
  const base = JSON.stringify({ version: 3, deployment: { resources: [resource] } });
  const replayed = JSON.parse(replayJournal(base, [JSON.stringify({ ...entry, ...references })], replayer));
  expect(replayed.deployment.resources).toEqual([resource]);
});

test('a resource goes on with its provider when that has got another name', () => {
  const urnOf = (name: string) => `urn:pulumi:d::p::pulumi:providers:a::${name}`;
  const user = { urn: 'urn:pulumi:d::p::a:b:C::user', type: 'a:b:C', provider: `${urnOf('old')}::the-id` };
  const base = JSON.stringify({ version: 3, deployment: { resources: [user] } });
  const provider = { urn: urnOf('new'), type: 'pulumi:providers:a', aliases: [urnOf('old')] };
  const entry = { version: 1, kind: 1, sequenceID: 1, operationID: 1, state: provider };
  const { deployment } = JSON.parse(replayJournal(base, [JSON.stringify(entry)], replayer));
  expect(deployment.resources).toEqual([
    { urn: urnOf('new'), type: 'pulumi:providers:a' },
    { ...user, provider: `${urnOf('new')}::the-id` },
  ]);
});
