import { execFile } from 'node:child_process';
import { cp, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { exampleRepositoryPath } from '@slipway/control-plane';
import { defaultImageReference } from '@slipway/runner';
import * as z from 'zod';
import { startAll, type UpFlags } from '../../packages/cli/src/commands/up.ts';
import { Api, Deployment, until } from './api.ts';
import { type Finished, pulumiUser } from './pulumi-user.ts';

const execute = promisify(execFile);

/** A running Slipway with a git repository of its own and a logged-in `pulumi` CLI. */
export interface SlipwayUnderTest {
  readonly url: string;
  readonly adminToken: string;
  readonly directory: string;
  /** Working copy of the repository that runs fetch from `repositoryUrl`. */
  readonly workingCopy: string;
  readonly repositoryUrl: string;
  /** How many sandboxes wait for runs, ready. */
  readonly warmSandboxes: number;
  /** Commits everything in the working copy and publishes it. */
  publish(): Promise<void>;
  /** Runs the real CLI, in a folder of the working copy. */
  pulumi(args: readonly string[], options?: { folder?: string }): Promise<Finished>;
  /** Calls the REST API as the administrator. */
  api(method: string, path: string, body?: unknown): Promise<{ status: number; json: unknown }>;
  close(): Promise<void>;
}

export async function startSlipway(flags: Partial<UpFlags> = {}): Promise<SlipwayUnderTest> {
  const directory = await mkdtemp(join(tmpdir(), 'slipway-test-'));
  const repository = join(directory, 'repository.git');
  const workingCopy = join(directory, 'repository');
  await git(['init', '--quiet', '--bare', '--initial-branch=main', repository]);
  await git(['clone', '--quiet', repository, workingCopy]);
  const slipway = await startAll(
    {
      listen: '127.0.0.1:0',
      dataDir: join(directory, 'data'),
      organization: 'local',
      isolation: 'container',
      runners: 1,
      cpus: 2,
      memoryMib: 2048,
      volumeGib: 8,
      reserveMemoryMib: 512,
      reserveDiskGib: 1,
      // Tests share their host with others, and write little.
      overcommitCpus: 4,
      overcommitMemory: 1,
      overcommitDisk: 4,
      defaultImage: defaultImageReference,
      allowPrivateNetworks: [],
      allowPrivateRegistries: [],
      ...flags,
    },
    { exampleRepository: repository },
  );
  const user = await pulumiUser(join(directory, 'pulumi-home'), {
    url: slipway.url,
    token: slipway.adminToken,
  });
  return {
    url: slipway.url,
    adminToken: slipway.adminToken,
    directory,
    workingCopy,
    get warmSandboxes() {
      return slipway.warmSandboxes;
    },
    repositoryUrl: `http://slipway.internal${exampleRepositoryPath}`,
    publish: async () => {
      await git(['-C', workingCopy, 'add', '--all']);
      await git(['-C', workingCopy, 'commit', '--quiet', '--allow-empty', '--message', 'change']);
      await git(['-C', workingCopy, 'push', '--quiet', 'origin', 'HEAD:main']);
    },
    pulumi: (args, { folder = '.' } = {}) => user.run(join(workingCopy, folder), ...args),
    api: async (method, path, body) => {
      const response = await fetch(`${slipway.url}${path}`, {
        method,
        headers: { authorization: `token ${slipway.adminToken}`, 'content-type': 'application/json' },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      });
      const text = await response.text();
      return { status: response.status, json: text === '' ? undefined : JSON.parse(text) };
    },
    close: async () => {
      await slipway.close();
      await rm(directory, { recursive: true, force: true });
    },
  };
}

const newestDeployment = z.object({ deployments: z.tuple([z.object({ id: z.uuid() })]) });
const runState = z.object({ id: z.uuid(), state: z.string() }).loose();

/**
 * What `GET /api/slipway/runs/{id}` tells of the newest deployment of a stack (`organization/project/stack`) once it has
 * finished. The CLI may end earlier: when the update has ended, and the sandbox is still being destroyed.
 */
export async function finishedDeployment(
  slipway: SlipwayUnderTest,
  stack: string,
): Promise<z.infer<typeof runState>> {
  const list = await slipway.api('GET', `/api/stacks/${stack}/deployments?pageSize=1`);
  const [{ id }] = newestDeployment.parse(list.json).deployments;
  return until(`the deployment ${id} has finished`, 120_000, async () => {
    const run = runState.parse((await slipway.api('GET', `/api/slipway/runs/${id}`)).json);
    return run.state === 'finished' ? run : undefined;
  });
}

/** The lines of a deployment's log, without their ends. */
export function logOfDeployment(slipway: SlipwayUnderTest, stack: string, id: string): Promise<string[]> {
  return new Deployment(new Api(slipway.url, slipway.adminToken), stack, id).log();
}

/** Copies one of the examples into the working copy. */
export async function addExample(slipway: SlipwayUnderTest, name: string): Promise<void> {
  const source = join(import.meta.dirname, '..', '..', 'examples', name);
  await cp(source, join(slipway.workingCopy, name), {
    recursive: true,
    filter: (path) => !path.includes('node_modules'),
  });
}

/** A project without a program: for runs whose interest lies in their other steps. */
export async function addEmptyProject(slipway: SlipwayUnderTest, name: string): Promise<void> {
  const folder = join(slipway.workingCopy, name);
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, 'Pulumi.yaml'), `name: ${name}\nruntime: nodejs\nmain: index.js\n`);
  await writeFile(join(folder, 'package.json'), `{"name": "${name}", "private": true}\n`);
  await writeFile(join(folder, 'index.js'), "'use strict';\n");
}

async function git(args: readonly string[]): Promise<void> {
  await execute('git', ['-c', 'user.name=Test', '-c', 'user.email=test@localhost', ...args]);
}
