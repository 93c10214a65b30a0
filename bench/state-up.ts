import { execFile } from 'node:child_process';
import { cp, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { promisify } from 'node:util';
import { startServer } from '@slipway/control-plane';
import { cacheDirectory, ensureLanguageHost, ensurePulumiCli } from '@slipway/runner';
import { type Benchmark, type Measurement, middleRound, type Round } from './benchmark.ts';

const run = promisify(execFile);
/** The promise is for 100; more and fewer are for looking. */
const resourceCount = Number(process.env.RESOURCE_COUNT ?? 100);
/** An even number: each side goes first as often as the other. */
const rounds = 10;

/** Each backend with the secrets provider that it has by itself: Slipway's own, a passphrase for files. */
const stateUp = (name: string, what: string, pick: (times: Times) => number): Benchmark => ({
  name,
  description: `${what} of ${resourceCount} resources, against the CLI's own file backend (middle of ${rounds} rounds after one that is not counted)`,
  maximumRatio: 1.15,
  measure: (report) => measure(pick, report),
});
export const stateUpFirst = stateUp('state-up', 'first `pulumi up`', (times) => times.first);
export const stateUpNoChange = stateUp(
  'state-up-no-change',
  '`pulumi up` without a change',
  (times) => times.noChange,
);

interface Times {
  readonly first: number;
  readonly noChange: number;
}

async function measure(pick: (times: Times) => number, report: (line: string) => void): Promise<Measurement> {
  const directory = await mkdtemp(join(tmpdir(), 'slipway-bench-'));
  const server = await startServer({
    dataDirectory: join(directory, 'data'),
    host: '127.0.0.1',
    port: 0,
    organization: 'local',
  });
  try {
    const slipway = { url: server.url, token: server.adminToken, organization: 'local' };
    const file = { url: `file://${directory}`, token: '', organization: 'organization' };
    const measured: Round[] = [];
    // Round 0 does not count: it fills the caches of the disk and compiles what the server runs, once in its life.
    for (let round = 0; round <= rounds; round += 1) {
      const time = (name: string, backend: Backend) => upTwice(join(directory, `${name}-${round}`), backend);
      // Each goes first in turn: the second one finds warmer caches.
      const early = round % 2 === 0 ? await time('slipway', slipway) : undefined;
      const reference = await time('file', file);
      const ours = early ?? (await time('slipway', slipway));
      const ratio = (pick(ours) / pick(reference)).toFixed(2);
      report(`round ${round}: ${ratio} (Slipway ${describe(ours)}; file backend ${describe(reference)})`);
      if (round > 0) measured.push({ ours: pick(ours), reference: pick(reference) });
    }
    return { ...middleRound(measured), unit: 's' };
  } finally {
    await server.close();
    await rm(directory, { recursive: true, force: true });
  }
}

const describe = ({ first, noChange }: Times) => `${first.toFixed(2)} s, no change ${noChange.toFixed(2)} s`;

interface Backend {
  readonly url: string;
  readonly token: string;
  readonly organization: string;
}

async function upTwice(directory: string, backend: Backend): Promise<Times> {
  const stack = `${backend.organization}/${basename(directory)}`;
  const cache = { cacheDirectory: cacheDirectory(process.env), report: () => undefined };
  const pulumiPath = await ensurePulumiCli(cache);
  await cp(join(import.meta.dirname, 'resources'), directory, { recursive: true });
  await writeFile(join(directory, 'package.json'), '{"private": true}');
  const env = {
    ...process.env,
    PATH: `${await ensureLanguageHost(cache)}:${process.env.PATH}`,
    PULUMI_HOME: join(directory, '.home'),
    PULUMI_BACKEND_URL: backend.url,
    PULUMI_ACCESS_TOKEN: backend.token,
    PULUMI_CONFIG_PASSPHRASE: 'benchmark',
    PULUMI_SKIP_UPDATE_CHECK: 'true',
    RESOURCE_COUNT: String(resourceCount),
  };
  const pulumi = async (...args: string[]) => {
    const start = performance.now();
    await run(pulumiPath, [...args, '--non-interactive', '--stack', stack], { cwd: directory, env });
    return (performance.now() - start) / 1000;
  };
  await run(pulumiPath, ['login', backend.url, '--non-interactive'], { cwd: directory, env });
  await run(pulumiPath, ['stack', 'init', stack, '--non-interactive'], { cwd: directory, env });
  return {
    first: await pulumi('up', '--yes', '--skip-preview'),
    noChange: await pulumi('up', '--yes', '--skip-preview'),
  };
}
