import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { defineConfig, type TestProjectInlineConfiguration } from 'vitest/config';
import { alone, onePerProcessor } from './tests/company.ts';
import { LongestFirst } from './tests/longest-first.ts';

/** Tests start programs of ours hundreds of times: what Node has compiled of them once is read again. */
process.env.NODE_COMPILE_CACHE ??= join(import.meta.dirname, 'node_modules/.cache/compiled');

const controlPlane = ['packages/control-plane/test/**/*.test.ts', 'tests/contract/*.test.ts'];
const everything = ['packages/*/test/**/*.test.ts', 'tests/**/*.test.ts'];
const sharedPostgres = ['packages/control-plane/test/shared-postgres.ts'];

interface Company {
  readonly groupOrder: number;
  readonly maxWorkers: number;
}

/** No more than four: a host may have fewer to give than it names. */
const processors = Math.min(availableParallelism(), 4);
/** Most tests spend their time waiting: for a lease to end, a grace to pass, a machine to boot. */
const beside: Company = { groupOrder: 0, maxWorkers: processors + 1 };
const oneEach: Company = { groupOrder: 1, maxWorkers: processors };
const one: Company = { groupOrder: 2, maxWorkers: 1 };

function project(
  name: string,
  { groupOrder, maxWorkers }: Company,
  test: TestProjectInlineConfiguration['test'],
): TestProjectInlineConfiguration {
  return { extends: true, test: { ...test, name, maxWorkers, sequence: { groupOrder } } };
}

export default defineConfig({
  test: {
    sequence: { sequencer: LongestFirst },
    reporters: ['default', './tests/summary-reporter.ts'],
    testTimeout: 60_000,
    hookTimeout: 120_000,
    projects: [
      project('control-plane', beside, {
        include: controlPlane,
        exclude: [...alone, ...onePerProcessor],
        globalSetup: sharedPostgres,
      }),
      project('beside', beside, {
        include: everything,
        exclude: [...controlPlane, ...alone, ...onePerProcessor],
      }),
      project('one-per-processor', oneEach, { include: onePerProcessor }),
      project('alone', one, { include: alone, globalSetup: sharedPostgres }),
    ],
  },
});
