import { defineConfig, type TestProjectInlineConfiguration } from 'vitest/config';
import { alone } from './tests/alone.ts';

const controlPlane = ['packages/control-plane/test/**/*.test.ts', 'tests/contract/*.test.ts'];
const everything = ['packages/*/test/**/*.test.ts', 'tests/**/*.test.ts'];
const sharedPostgres = ['packages/control-plane/test/shared-postgres.ts'];

/** Most tests spend their time waiting: for a lease to end, a grace to pass, a machine to boot. */
function beside(name: string, test: TestProjectInlineConfiguration['test']): TestProjectInlineConfiguration {
  return { extends: true, test: { ...test, name, maxWorkers: 3, sequence: { groupOrder: 0 } } };
}

function afterwards(
  name: string,
  test: TestProjectInlineConfiguration['test'],
): TestProjectInlineConfiguration {
  return { extends: true, test: { ...test, name, fileParallelism: false, sequence: { groupOrder: 1 } } };
}

export default defineConfig({
  test: {
    reporters: ['default', './tests/summary-reporter.ts'],
    testTimeout: 60_000,
    hookTimeout: 120_000,
    projects: [
      beside('control-plane', { include: controlPlane, exclude: alone, globalSetup: sharedPostgres }),
      beside('beside', { include: everything, exclude: [...controlPlane, ...alone] }),
      afterwards('alone', { include: alone, globalSetup: sharedPostgres }),
    ],
  },
});
