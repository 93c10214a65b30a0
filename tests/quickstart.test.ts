import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';

const run = promisify(execFile);
const slipway = join(import.meta.dirname, '..', 'slipway');

test('`quickstart --exit` runs a real deployment and stops, with its success as exit status', async () => {
  const { stdout } = await run(slipway, ['quickstart', '--exit', '--isolation', 'container'], {
    env: { ...process.env, SLIPWAY_DEFAULT_IMAGE: 'localhost/slipway/executor:latest' },
  });
  expect(stdout).toContain('Slipway is ready at http://localhost:');
  expect(stdout).toContain('pulumi update:');
  expect(stdout).toContain('Hello, Slipway!');
}, 300_000);
