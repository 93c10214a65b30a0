import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { defaultImageReference } from '@slipway/runner';
import { Api } from './api.ts';
import { type SlipwayProcess, startSlipwayProcess } from './slipway-process.ts';

/** `./slipway server` as a process of its own, and its API called by the administrator. */
export interface RunningServer extends AsyncDisposable {
  readonly process: SlipwayProcess;
  readonly api: Api;
  readonly adminToken: string;
  readonly poolToken: string;
  /** Id of the first process of its database. */
  databaseProcess(): Promise<number>;
}

export async function startServerProcess(dataDirectory: string, ...flags: string[]): Promise<RunningServer> {
  const server = startSlipwayProcess([
    ...['server', '--listen', '127.0.0.1:0', '--data-dir', dataDirectory, ...flags],
  ]);
  const [, url = ''] = await server.says(/ready at (\S+)/);
  const read = async (...path: string[]) => (await readFile(join(dataDirectory, ...path), 'utf8')).trim();
  const adminToken = await read('admin-token');
  return {
    process: server,
    api: new Api(url, adminToken),
    adminToken,
    poolToken: await read('pool-token'),
    databaseProcess: async () => Number.parseInt(await read('postgres', 'cluster', 'postmaster.pid'), 10),
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  };
}

/** `./slipway runner` for it, whose sandboxes are containers; `flags` come last, and count. */
export async function startRunnerProcess(
  { api, poolToken }: RunningServer,
  dataDirectory: string,
  ...flags: string[]
): Promise<SlipwayProcess> {
  const runner = startSlipwayProcess([
    ...['runner', '--server', api.url, '--pool-token', poolToken, '--data-dir', dataDirectory],
    ...['--isolation', 'container', '--memory-mib', '1024', '--volume-gib', '4'],
    ...['--default-image', defaultImageReference, ...flags],
  ]);
  await runner.says(/The runner works for the pool/);
  return runner;
}

/** A command that writes so many lines, `line 1`, `line 2` …, 3,000 a second. */
export function chatter(lines: number): string {
  return `node -e 'let n = 0; const t = setInterval(() => { for (let i = 0; i < 60; i++) console.log("line " + ++n); if (n >= ${lines}) clearInterval(t); }, 20)'`;
}

/** The numbers of the lines of `chatter` in a log, in the order in which they are there. */
export function numbersIn(log: readonly string[]): number[] {
  return log.flatMap((line) => /^line (\d+)$/.exec(line)?.[1] ?? []).map(Number);
}

/** 1, 2 … `count`: each line once, and none missing. */
export function upTo(count: number): number[] {
  return Array.from({ length: count }, (_, index) => index + 1);
}
