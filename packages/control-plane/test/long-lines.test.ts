import {
  cutText,
  type LogLine,
  logLineOverheadBytes,
  maskPatterns,
  maskWith,
  maximumLineCharacters,
} from '@slipway/core';
import { sql } from 'kysely';
import { describe, expect, test } from 'vitest';
import * as z from 'zod';
import { Random } from '../../core/test/random.ts';
import { deploy, type TestRun } from './deployments-server.ts';
import { runner, server, useServerAndRunner } from './use-server.ts';

useServerAndRunner();

/** Known to the control plane alone, as the run's CLI has it encrypted. */
const secret = 'correct horse "battery" staple';
const page = z.object({
  lines: z.array(z.object({ line: z.string().optional() })),
  nextToken: z.string().optional(),
});
const db = () => server.server.controlPlane.db;

class LoggingRun {
  readonly #path: string;
  readonly run: TestRun;

  private constructor(path: string, run: TestRun) {
    this.#path = path;
    this.run = run;
  }

  static async start(): Promise<LoggingRun> {
    const stack = await server.makeStack(`long-lines-${crypto.randomUUID()}`);
    const { id } = await deploy(server, stack);
    const run = await runner.mustClaim();
    const authorization = `token ${(await run.job()).jobToken}`;
    const plaintext = Buffer.from(secret).toString('base64');
    await server.call('POST', `${stack}/encrypt`, { plaintext }, { authorization });
    return new LoggingRun(`${stack}/deployments/${id}/logs`, run);
  }

  async logged(): Promise<string[]> {
    const texts: string[] = [];
    for (let token = ''; ; ) {
      const { lines, nextToken } = await server.expectCall(
        ...[page, 200, 'GET', `${this.#path}${token && `?continuationToken=${token}`}`],
      );
      texts.push(...lines.flatMap(({ line }) => line?.slice(0, -1) ?? []));
      if (nextToken === undefined || nextToken === token) return texts;
      token = nextToken;
    }
  }

  async held(): Promise<Buffer[]> {
    const { rows } = await sql<{ held: Buffer }>`
      SELECT held FROM run_log_chunks WHERE run_id = ${this.run.id} AND held IS NOT NULL`.execute(db());
    return rows.map(({ held }) => held);
  }
}

type Said = string | Pick<LogLine, 'text' | 'piece'>;

/** A line in the pieces in which an executor sends it. */
function piecesOf(line: string, number = 1): Exclude<Said, string>[] {
  const texts = line.match(new RegExp(`.{1,${maximumLineCharacters}}`, 'g')) ?? [];
  return texts.map((text, at) => ({ text, piece: { line: number, isLast: at === texts.length - 1 } }));
}

/** A line of which the first piece ends with the first `count` characters of the secret. */
const cutAt = (count: number) => `${'.'.repeat(maximumLineCharacters - count)}${secret} end`;
/** What is shown of that piece. */
const shownOf = (count: number) => '.'.repeat(maximumLineCharacters - count);

describe('a secret across the cut between two pieces of a line is hidden', () => {
  const [first = '', second = ''] = piecesOf(cutAt(6));
  const hidden = [shownOf(6), '*** end'];
  const between = (...texts: string[]) => [hidden[0], ...texts, hidden[1]];

  test.each<[string, Said[][], (string | undefined)[]]>([
    ['in one call', [[first, second]], hidden],
    ['in a call each', [[first], [second]], hidden],
    [
      'behind other lines of the call',
      [
        ['a', first],
        [second, 'b'],
      ],
      ['a', ...hidden, 'b'],
    ],
    ['with lines of another stream between them', [[first, 'a', second]], between('a')],
    [
      'with lines of another stream between them, in calls',
      [[first], ['a'], ['b'], [second]],
      between('a', 'b'),
    ],
    ['with the headers of other steps between them', [[first, '# next', 'a'], [second]], between('a')],
    [
      'and nothing is taken from a line that may seem to go on',
      [[first, secret.slice(6), second]],
      between(secret.slice(6)),
    ],
  ])('%s', async (_how, calls, shown) => {
    const log = await LoggingRun.start();
    for (const call of calls) await log.run.log(0, ...call);
    expect(await log.logged()).toEqual(shown);
    await log.run.finish();
    expect(await log.logged()).toEqual(shown);
  });

  test('and of other lines that are under way at once, in the same step or with the same number in another', async () => {
    const log = await LoggingRun.start();
    const [[otherFirst, otherSecond], [thirdFirst, thirdSecond]] = [
      piecesOf(cutAt(20), 2),
      piecesOf(cutAt(30), 1),
    ];
    const chunk = { kind: 'line', timestamp: new Date().toISOString() };
    const calls = [
      [
        { ...chunk, ...first, step: 0 },
        { ...chunk, ...otherFirst, step: 0 },
        { ...chunk, ...thirdFirst, step: 1 },
      ],
      [
        { ...chunk, ...second, step: 0 },
        { ...chunk, ...thirdSecond, step: 1 },
        { ...chunk, ...otherSecond, step: 0 },
      ],
    ];
    for (const [at, call] of calls.entries()) {
      const lines = call.map((each, index) => ({ ...each, sequence: 3 * at + index + 1 }));
      expect(await log.run.call('log', { lines })).toMatchObject({ status: 200 });
    }
    const pieces = [shownOf(6), shownOf(20), `${shownOf(30)}***`];
    expect(await log.logged()).toEqual([...pieces, '*** end', ' end', '*** end']);
    await log.run.finish();
  });

  test('what a piece holds back is kept sealed until the next one is there', async () => {
    const log = await LoggingRun.start();
    const line = `${cutAt(6)}${cutAt(20).slice(secret.length)}`;
    for (const piece of piecesOf(line)) {
      await log.run.log(0, piece, 'a');
      const held = await log.held();
      expect(held).toHaveLength(piece.piece?.isLast ? 0 : 1);
      for (const bytes of held) expect(bytes.includes('corr')).toBe(false);
    }
    await log.run.finish();
  });

  test('however lines and pieces of several come mixed, in whatever calls, and however often', async () => {
    const random = new Random(20);
    const secrets = maskPatterns([secret]);
    for (let round = 0; round < 8; round += 1) {
      const log = await LoggingRun.start();
      const lines = [1, 2, 3].map(() => randomLine(random));
      const waiting = lines.map((line, index) => piecesOf(line, index + 1));
      const said: Said[] = [];
      for (let from = 0; waiting.some(({ length }) => length > 0); from = random.below(4)) {
        said.push(waiting[from]?.shift() ?? secret.slice(0, 1 + random.below(secret.length - 1)));
      }
      const chunks = said.map((each, index) => ({
        ...{ sequence: index + 1, step: 0, kind: 'line', timestamp: new Date().toISOString() },
        ...(typeof each === 'string' ? { text: each } : each),
      }));
      let acknowledged = 0;
      for (const call of random.pieces(chunks, 4)) {
        // Runners that were killed send again what was stored already.
        const again = chunks.slice(Math.max(0, acknowledged - random.below(4)), acknowledged);
        expect(await log.run.call('log', { lines: [...again, ...call] })).toMatchObject({ status: 200 });
        acknowledged += call.length;
      }
      await log.run.finish({ lastSequence: chunks.length });
      const shown = await log.logged();
      for (const [index, line] of lines.entries()) {
        const texts = shown.filter((_text, at) => chunks[at]?.piece?.line === index + 1);
        expect(texts.join('') === maskWith(secrets, line), `line ${index + 1} of round ${round}`).toBe(true);
      }
      expect(shown.filter((_text, at) => !chunks[at]?.piece)).toEqual(
        said.filter((each) => typeof each === 'string'),
      );
    }
  }, 120_000);
});

/** Three pieces of dots, with the secret across most of the cuts, or beside them. */
function randomLine(random: Random): string {
  let line = '.'.repeat(2 * maximumLineCharacters + 100);
  for (const cut of [maximumLineCharacters, 2 * maximumLineCharacters]) {
    const at = cut - random.below(secret.length + 10);
    if (random.below(4) > 0) line = line.slice(0, at) + secret + line.slice(at + secret.length);
  }
  return line;
}

describe('where a line does not go on, what may be the beginning of a secret is hidden as well:', () => {
  // More than half of it.
  const count = secret.length - 3;
  const [piece = '', end = ''] = piecesOf(cutAt(count));
  const shown = `${shownOf(count)}${cutText}`;
  const notice = '[The log has reached its limit of 1 MiB.]';

  test.each<[string, Said[][], string[]]>([
    ['the run ends in the middle of it', [['a', piece]], ['a', shown]],
    ['the log has reached its limit', [[piece, notice]], [shown, notice]],
    [
      'the log has reached its limit, and the runner says so with another call',
      [[piece], [notice]],
      [shown, notice],
    ],
  ])('%s', async (_why, calls, expected) => {
    const log = await LoggingRun.start();
    for (const call of calls) await log.run.log(0, ...call);
    await log.run.finish();
    expect(await log.logged()).toEqual(expected);
  });

  test('the log has no room for how it goes on; then it takes no line any more', async () => {
    const log = await LoggingRun.start();
    await log.run.log(0, piece);
    await sql`UPDATE runs SET log_bytes = 256 * 1024 * 1024 - 100 WHERE id = ${log.run.id}`.execute(db());
    await log.run.log(0, { text: '#'.repeat(maximumLineCharacters), piece: { line: 1, isLast: false } });
    await log.run.log(0, end);
    await log.run.finish();
    expect(await log.logged()).toEqual([shown]);
  });

  test('it is a piece that is too short for one, which only a hostile executor sends', async () => {
    const log = await LoggingRun.start();
    await log.run.log(0, { text: `a${secret.slice(0, -1)}`, piece: { line: 1, isLast: false } });
    expect(await log.held()).toEqual([]);
    expect(await log.logged()).toEqual([`a${cutText}`]);
    await log.run.finish();
  });
});

describe('what a hostile runner has a log hold back', () => {
  const timestamp = new Date().toISOString();
  const chunk = { step: 0, kind: 'line', timestamp };
  const [first = ''] = piecesOf(cutAt(20));

  test('is one text of each line, also where its pieces come in the wrong order', async () => {
    const log = await LoggingRun.start();
    for (const sequence of [3, 2, 1]) {
      const lines = [{ ...chunk, ...first, sequence }];
      expect(await log.run.call('log', { lines })).toMatchObject({ status: 200 });
      expect(await log.held()).toHaveLength(1);
    }
    await log.run.finish({ lastSequence: 3 });
    expect(await log.logged()).toEqual(Array.from({ length: 3 }, () => `${shownOf(20)}${cutText}`));
  });

  test('counts as what it shows does', async () => {
    const log = await LoggingRun.start();
    await log.run.log(0, first);
    const [held] = await log.held();
    const { rows } = await sql`SELECT log_bytes FROM runs WHERE id = ${log.run.id}`.execute(db());
    const bytes = shownOf(20).length + logLineOverheadBytes + (held?.length ?? 0);
    expect(rows).toEqual([{ log_bytes: bytes }]);
    await log.run.finish();
  });

  test('makes a call with pieces of its lines not much longer', async () => {
    const most = 2_000;
    const [plain, holding] = [await LoggingRun.start(), await LoggingRun.start()];
    await sql`
      INSERT INTO run_log_chunks (run_id, first_sequence, step, kind, logged_at, long_line, held, text)
      SELECT ${holding.run.id}, 100000 + line, 0, 'line', now(), line, 'sealed', ''
      FROM generate_series(1, ${most}) AS line`.execute(db());
    const lines = Array.from({ length: most }, (_, at) => ({
      ...chunk,
      ...{ sequence: at + 1, text: '', piece: { line: at + 1, isLast: false } },
    }));
    // Of the processor, as other tests may have it meanwhile.
    const microsecondsOf = async ({ run }: LoggingRun) => {
      const before = process.threadCpuUsage();
      expect(await run.call('log', { lines })).toMatchObject({ status: 200 });
      return process.threadCpuUsage(before).user;
    };
    const times: { plain: number; holding: number }[] = [];
    for (let round = 0; round < 6; round += 1) {
      times.push({ plain: await microsecondsOf(plain), holding: await microsecondsOf(holding) });
    }
    const shortest = (of: 'plain' | 'holding') => Math.min(...times.map((each) => each[of]));
    expect(shortest('holding') / shortest('plain')).toBeLessThan(4);
    expect(await holding.held()).toHaveLength(most);
    for (const { run } of [plain, holding]) await run.finish({ lastSequence: most });
  }, 60_000);
});

test('a piece of a line is a chunk alone', async () => {
  const { run } = await LoggingRun.start();
  const chunk = { sequence: 1, step: 0, kind: 'line', timestamp: new Date().toISOString(), text: 'a' };
  const piece = { line: 1, isLast: true };
  for (const wrong of [
    { lineCount: 2, text: 'a\nb', piece },
    { kind: 'header', piece },
    { kind: 'notice', piece },
    { piece: { ...piece, line: 2 ** 31 } },
  ])
    expect(await run.call('log', { lines: [{ ...chunk, ...wrong }] })).toMatchObject({ status: 400 });
  await run.finish();
});
