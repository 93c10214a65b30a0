import { type ChildProcess, execFile } from 'node:child_process';
import { mkdir, writeFile } from 'node:fs/promises';
import { delimiter, dirname, join } from 'node:path';
import { cacheDirectory, ensureLanguageHost, ensurePulumiCli } from '@slipway/runner';

/** What a finished command printed, and how it ended. */
export interface Finished {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Answers what it printed, or throws that where it failed. */
export function expectSuccess({ code, stdout, stderr }: Finished, command = 'pulumi'): string {
  if (code !== 0) throw new Error(`${command} failed (${code}):\n${stdout}\n${stderr}`);
  return stdout;
}

/** Somebody with the real `pulumi` CLI, a home of their own and an access token. */
export interface PulumiUser {
  /** Runs the CLI in a folder. */
  run(folder: string, ...args: string[]): Promise<Finished>;
  /** The same, and throws unless it succeeds. Answers what it printed. */
  expectRun(folder: string, ...args: string[]): Promise<string>;
  /** Starts the CLI, to be signalled while it runs. */
  start(folder: string, ...args: string[]): { child: ChildProcess; finished: Promise<Finished> };
}

export async function pulumiUser(
  home: string,
  backend: { url: string; token: string },
  variables: Record<string, string> = {},
): Promise<PulumiUser> {
  const cache = { cacheDirectory: cacheDirectory(process.env), report: () => undefined };
  const cli = await ensurePulumiCli(cache);
  const path = [dirname(cli), await ensureLanguageHost(cache), dirname(process.execPath), process.env.PATH];
  const env = {
    ...process.env,
    PATH: path.join(delimiter),
    PULUMI_HOME: home,
    PULUMI_BACKEND_URL: backend.url,
    PULUMI_ACCESS_TOKEN: backend.token,
    PULUMI_SKIP_UPDATE_CHECK: 'true',
    PULUMI_EXPERIMENTAL: 'true',
    ...variables,
  };
  const start: PulumiUser['start'] = (folder, ...args) => {
    const { promise, resolve } = Promise.withResolvers<Finished>();
    const options = { cwd: folder, env, maxBuffer: 64 * 1024 * 1024 };
    const child = execFile(cli, [...args, '--non-interactive'], options, (error, stdout, stderr) => {
      const code = error ? (typeof error.code === 'number' ? error.code : 1) : 0;
      resolve({ code, stdout, stderr });
    });
    return { child, finished: promise };
  };
  const run: PulumiUser['run'] = (folder, ...args) => start(folder, ...args).finished;
  return {
    start,
    run,
    expectRun: async (folder, ...args) =>
      expectSuccess(await run(folder, ...args), `pulumi ${args.join(' ')}`),
  };
}

/** A project whose program is the given JavaScript, with `pulumi` and the classes `Cell` and `Slow` at hand. */
export async function writeProject(folder: string, name: string, program: string): Promise<void> {
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, 'Pulumi.yaml'), `name: ${name}\nruntime: nodejs\nmain: index.js\n`);
  await writeFile(join(folder, 'package.json'), `{"name": "${name}", "private": true}\n`);
  await writeFile(join(folder, 'index.js'), `${prelude}\n${program}\n`);
}

const prelude = `const pulumi = require('@pulumi/pulumi');
const fs = require('node:fs');
const config = new pulumi.Config();
const provider = {
  async create(inputs) { return { id: 'cell', outs: inputs }; },
  async diff(_id, before, after) { return { changes: before.value !== after.value }; },
  async update(_id, _before, inputs) { return { outs: inputs }; },
};
class Cell extends pulumi.dynamic.Resource {
  constructor(name, value, options) { super(provider, name, { value }, options); }
}
class Slow extends pulumi.dynamic.Resource {
  constructor(name, seconds, marker) {
    super({
      async create(inputs) {
        require('node:fs').writeFileSync(inputs.marker, '');
        await new Promise((resolve) => setTimeout(resolve, inputs.seconds * 1000));
        return { id: 'slow', outs: inputs };
      },
    }, name, { seconds, marker });
  }
}`;
