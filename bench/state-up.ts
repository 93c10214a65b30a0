import { execFile } from 'node:child_process';
import { cp, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { startServer } from '@slipway/control-plane';
import { cacheDirectory, ensureLanguageHost, ensurePulumiCli } from '@slipway/runner';
import { type Benchmark, type Measurement, median } from './benchmark.ts';

const run = promisify(execFile);
const resourceCount = 100;
const rounds = 3;

const stateUp = (name: string, what: string, pick: (times: Times) => number): Benchmark => ({
  name,
  description: `${what} of ${resourceCount} resources, against the CLI's own file backend (median of ${rounds})`,
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
    const ours: number[] = [];
    const reference: number[] = [];
    for (let round = 0; round < rounds; round += 1) {
      const backends = [
        {
          times: ours,
          name: 'Slipway',
          url: server.url,
          token: server.adminToken,
          stack: `local/bench-${round}`,
        },
        {
          times: reference,
          name: 'file',
          url: `file://${directory}`,
          token: '',
          stack: `organization/bench-${round}`,
        },
      ];
      // Each goes first in turn: the second one finds warmer caches.
      for (const { times, name, ...backend } of round % 2 === 0 ? backends : backends.reverse()) {
        const taken = await upTwice(join(directory, `${name}-${round}`), backend);
        report(
          `round ${round + 1}, ${name}: first ${taken.first.toFixed(2)} s, no change ${taken.noChange.toFixed(2)} s`,
        );
        times.push(pick(taken));
      }
    }
    return { ours: median(ours), reference: median(reference), unit: 's' };
  } finally {
    await server.close();
    await rm(directory, { recursive: true, force: true });
  }
}

async function upTwice(
  directory: string,
  backend: { url: string; token: string; stack: string },
): Promise<Times> {
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
    await run(pulumiPath, [...args, '--non-interactive', '--stack', backend.stack], { cwd: directory, env });
    return (performance.now() - start) / 1000;
  };
  await run(pulumiPath, ['login', backend.url, '--non-interactive'], { cwd: directory, env });
  await run(pulumiPath, ['stack', 'init', backend.stack, '--non-interactive'], { cwd: directory, env });
  return {
    first: await pulumi('up', '--yes', '--skip-preview'),
    noChange: await pulumi('up', '--yes', '--skip-preview'),
  };
}
