import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, expect, test, vi } from 'vitest';
import { cacheDirectory } from '../src/index.ts';
import { buildGoProgram } from '../src/setup/build-go-program.ts';
import { ensureGoToolchain } from '../src/setup/go-toolchain.ts';
import { runCommand } from '../src/setup/run-command.ts';
import type { SetUpProgress } from '../src/setup/set-up-options.ts';

afterEach(() => {
  vi.unstubAllEnvs();
});

test('a program in Go is built once, and tells of each package that is compiled, of as many as there are', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'slipway-go-'));
  vi.stubEnv('GOCACHE', join(folder, 'go-cache'));
  const path = join(folder, 'program', 'test2json');
  const cache = cacheDirectory(process.env);
  // Where it is to be fetched first, that is told too.
  await ensureGoToolchain({ cacheDirectory: cache, report: () => {} });
  const [lines, steps]: [string[], SetUpProgress[]] = [[], []];
  const build = () =>
    buildGoProgram(
      path,
      {
        ...{ name: 'test2json', version: '1', importPath: 'cmd/test2json', linkerFlags: '-s -w' },
        module: 'images/default/pulumi-cli',
      },
      {
        cacheDirectory: cache,
        report: (line) => void lines.push(line),
        progress: (step) => void steps.push(step),
      },
    );
  await build();
  await build();
  expect(await runCommand([path], { input: 'PASS\n' })).toContain('"Action"');
  expect(lines).toEqual(['building test2json 1 (some minutes) …']);
  const total = steps.length;
  expect(total).toBeGreaterThan(30);
  expect(steps).toEqual(
    Array.from({ length: total }, (_, index) => ({
      ...{ stage: 'Building test2json', done: index + 1, total, unit: 'packages' },
    })),
  );
  await rm(folder, { recursive: true });
}, 300_000);
