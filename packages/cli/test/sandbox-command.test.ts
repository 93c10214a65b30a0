import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Server, startServer } from '@slipway/control-plane';
import { afterAll, beforeAll, expect, test } from 'vitest';

const program = join(import.meta.dirname, '..', '..', '..', 'slipway');
let directory: string;
let server: Server;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'slipway-sandbox-command-'));
  server = await startServer({ dataDirectory: directory, host: '127.0.0.1', port: 0, organization: 'local' });
  await fetch(`${server.url}/api/stacks/local/shop`, {
    method: 'POST',
    headers: { authorization: `token ${server.adminToken}` },
    body: JSON.stringify({ stackName: 'dev' }),
  });
});
afterAll(async () => {
  await server.close();
  await rm(directory, { recursive: true, force: true });
});

/** `slipway sandbox …`, with the token of the data directory. */
function sandbox(...args: string[]): Promise<{ code: number; output: string }> {
  const { PULUMI_ACCESS_TOKEN: _, ...environment } = process.env;
  const { promise, resolve } = Promise.withResolvers<{ code: number; output: string }>();
  execFile(
    program,
    ['sandbox', ...args, '--url', server.url, '--data-dir', directory],
    { env: { ...environment, HOME: directory } },
    (error, stdout, stderr) =>
      resolve({ code: error === null ? 0 : Number(error.code), output: stdout + stderr }),
  );
  return promise;
}

test('a pool limits what a stack asks for, and what is not named stays as it is', async () => {
  expect((await sandbox('set', '--pool', 'local/default', '--maximum', '--memory-mib', '4096')).code).toBe(0);
  await sandbox('set', '--pool', 'local/default', '--cpus', '1', '--run-seconds', '600');
  const stack = ['--stack', 'local/shop/dev', '--json'];
  await sandbox('set', ...stack, '--memory-mib', '2048');
  const { code, output } = await sandbox('set', ...stack, '--allow-hosts', 'a.example,10.0.0.0/8');
  expect(code).toBe(0);
  expect(JSON.parse(output)).toMatchObject({
    settings: { size: { memoryMiB: 2048 }, egress: { mode: 'allow', hosts: ['a.example', '10.0.0.0/8'] } },
    effective: { size: { cpus: 1, memoryMiB: 2048 }, timeLimits: { runSeconds: 600 } },
    pool: { name: 'default' },
  });
  expect((await sandbox('show', '--pool', 'local/default')).output).toMatch(
    /maximum:\s+size:\s+memoryMiB: 4096/,
  );
  const reset = await sandbox('set', ...stack, '--reset', '--egress', 'none');
  expect(JSON.parse(reset.output)).toMatchObject({ settings: { egress: { mode: 'none' } } });
  expect(JSON.parse(reset.output).settings.size).toBeUndefined();
});

test.each([
  [
    'more than the pool allows',
    ['set', '--stack', 'local/shop/dev', '--memory-mib', '8192'],
    /at most 4096.*pool "default"/,
  ],
  ['neither stack nor pool', ['show'], /either a stack .* or a pool/],
  ['a pool that is not there', ['show', '--pool', 'local/fast'], /no pool "fast"; it has: default/],
  ['half a stack', ['show', '--stack', 'dev'], /"dev" is not a stack; write it as/],
  [
    'hosts that nothing is allowed',
    ['set', '--stack', 'local/shop/dev', '--egress', 'none', '--allow-hosts', 'a.example'],
    /belongs to --egress allow/,
  ],
  [
    'a host that is none',
    ['set', '--stack', 'local/shop/dev', '--allow-hosts', 'https://a'],
    /write a host name/,
  ],
  [
    'the maximum of a stack',
    ['set', '--stack', 'local/shop/dev', '--maximum', '--cpus', '1'],
    /--maximum belongs to a pool/,
  ],
])('a wrong request ends with a sentence: %s', async (_, args, sentence) => {
  await sandbox('set', '--pool', 'local/default', '--maximum', '--memory-mib', '4096');
  const { code, output } = await sandbox(...args);
  expect(code).toBe(1);
  expect(output).toMatch(sentence);
});
