import { join } from 'node:path';
import { defineConfig, type TestProjectInlineConfiguration } from 'vitest/config';
import { alone, inPairs } from './tests/company.ts';

/** Tests start programs of ours hundreds of times: what Node has compiled of them once is read again. */
process.env.NODE_COMPILE_CACHE ??= join(import.meta.dirname, 'node_modules/.cache/compiled');

const controlPlane = ['packages/control-plane/test/**/*.test.ts', 'tests/contract/*.test.ts'];
const everything = ['packages/*/test/**/*.test.ts', 'tests/**/*.test.ts'];
const sharedPostgres = ['packages/control-plane/test/shared-postgres.ts'];

/** Most tests spend their time waiting: for a lease to end, a grace to pass, a machine to boot. */
const companies = [
  { groupOrder: 0, maxWorkers: 3 },
  { groupOrder: 1, maxWorkers: 2 },
  { groupOrder: 2, maxWorkers: 1 },
] as const;

function project(
  name: string,
  { groupOrder, maxWorkers }: (typeof companies)[number],
  test: TestProjectInlineConfiguration['test'],
): TestProjectInlineConfiguration {
  return { extends: true, test: { ...test, name, maxWorkers, sequence: { groupOrder } } };
}

const [beside, pairs, one] = companies;

export default defineConfig({
  test: {
    reporters: ['default', './tests/summary-reporter.ts'],
    testTimeout: 60_000,
    hookTimeout: 120_000,
    projects: [
      project('control-plane', beside, {
        include: controlPlane,
        exclude: [...alone, ...inPairs],
        globalSetup: sharedPostgres,
      }),
      project('beside', beside, { include: everything, exclude: [...controlPlane, ...alone, ...inPairs] }),
      project('pairs', pairs, { include: inPairs }),
      project('alone', one, { include: alone, globalSetup: sharedPostgres }),
    ],
  },
});
