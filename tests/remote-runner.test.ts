import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { defaultImageReference } from '@slipway/runner';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import * as z from 'zod';
import type { GitServer } from '../packages/executor/test/testing/git-server.ts';
import { Api, type Deployment } from './testing/api.ts';
import { type DeployableStack, makeStack, serveEmptyProject } from './testing/deployable-stack.ts';
import { makeNetworkNamespace, type NetworkNamespace } from './testing/network-namespace.ts';
import { type SlipwayProcess, startSlipwayProcess } from './testing/slipway-process.ts';

const execute = promisify(execFile);

/** Control plane on this host, runner on another one, a cable between them. */
let directory: string;
let elsewhere: NetworkNamespace;
let gitServer: GitServer;
let server: SlipwayProcess;
let runner: SlipwayProcess;
let api: Api;
let poolToken: string;
let stack: DeployableStack;
const files = { certificate: '', key: '' };

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'slipway-remote-'));
  elsewhere = await makeNetworkNamespace();
  gitServer = await serveEmptyProject(join(directory, 'git'), elsewhere.hostAddress);
  files.certificate = join(directory, 'certificate.pem');
  files.key = join(directory, 'key.pem');
  await makeCertificate(elsewhere.hostAddress);
  server = startSlipwayProcess([
    ...['server', '--listen', `${elsewhere.hostAddress}:0`, '--data-dir', join(directory, 'server')],
    ...['--tls-cert', files.certificate, '--tls-key', files.key],
  ]);
  const [, url = ''] = await server.says(/ready at (\S+)/);
  const adminToken = await readFile(join(directory, 'server', 'admin-token'), 'utf8');
  poolToken = (await readFile(join(directory, 'server', 'pool-token'), 'utf8')).trim();
  api = new Api(url, adminToken.trim(), await readFile(files.certificate, 'utf8'));
  runner = startRunnerProcess(['--server', url, '--pool-token', poolToken, '--tls-ca', files.certificate]);
  await runner.says(/The runner works for the pool/);
  stack = await makeStack(api, gitServer);
}, 120_000);

afterAll(async () => {
  await runner?.[Symbol.asyncDispose]();
  await server?.[Symbol.asyncDispose]();
  await gitServer?.[Symbol.asyncDispose]();
  await elsewhere?.[Symbol.asyncDispose]();
  await rm(directory, { recursive: true, force: true });
}, 60_000);

/** A certificate that is its own authority, for one address. */
async function makeCertificate(address: string): Promise<void> {
  await execute('openssl', [
    ...['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2'],
    ...['-keyout', files.key, '-out', files.certificate, '-subj', '/CN=slipway'],
    ...['-addext', `subjectAltName=IP:${address}`],
  ]);
}

function startRunnerProcess(args: readonly string[]): SlipwayProcess {
  return startSlipwayProcess(
    [
      ...['runner', ...args, '--data-dir', join(directory, 'runner'), '--isolation', 'container'],
      ...['--memory-mib', '1024', '--volume-gib', '4', '--default-image', defaultImageReference],
      ...['--allow-private-networks', `${elsewhere.hostAddress}/32`],
    ],
    elsewhere.enter,
  );
}

/** What a process that must end by itself did. */
async function endOf(process: SlipwayProcess): Promise<{ status: number | string; said: string }> {
  await using ending = process;
  return { status: await ending.ended, said: ending.output };
}

test('a deployment runs on another host, over TLS with a private authority', async () => {
  const deployment = await stack.deploy('echo "hello from afar"');
  expect(await deployment.finished()).toMatchObject({ outcome: 'succeeded' });
  expect(await deployment.log()).toContain('hello from afar');
}, 240_000);

describe('a run, while it lives and after it,', () => {
  let deployment: Deployment;
  let jobToken: string;

  beforeAll(async () => {
    await makeStack(api, gitServer, 'other');
    // As the log masks the token, it is written backwards.
    const tellToken = `node -e 'console.log("token " + [...process.env.PULUMI_ACCESS_TOKEN].reverse().join(""))'`;
    deployment = await stack.deploy(
      'curl -sS -H "Authorization: token $PULUMI_ACCESS_TOKEN" http://slipway.internal/api/user; echo',
      'echo "plain $PULUMI_ACCESS_TOKEN"',
      tellToken,
      'sleep 600',
    );
    jobToken = [...(await deployment.logged(/^token (\S+)$/))].reverse().join('');
  }, 180_000);

  test('asks the control plane who it is, through the gateway, and hides its token in the log', async () => {
    const log = await deployment.log();
    const user = log.find((line) => line.startsWith('{"id"'));
    expect(JSON.parse(user ?? '')).toMatchObject({
      githubLogin: 'slipway-run',
      organizations: [{ githubLogin: 'local' }],
    });
    expect(jobToken).toMatch(/^slp-job-/);
    expect(log.join('\n')).not.toContain(jobToken);
    expect(log).toContainEqual(expect.stringMatching(/^plain \S+$/));
  });

  test('opens its own stack with its token, and nothing else', async () => {
    const run = api.as(jobToken);
    expect(await run.call('GET', '/api/user')).toMatchObject({ status: 200 });
    expect(await run.call('GET', '/api/stacks/local/empty/dev')).toMatchObject({ status: 200 });
    expect(await run.call('GET', '/api/stacks/local/empty/dev/export')).toMatchObject({ status: 200 });
    expect(await run.call('GET', '/api/user/stacks')).toMatchObject({
      status: 200,
      json: { stacks: [{ orgName: 'local', projectName: 'empty', stackName: 'dev' }] },
    });

    for (const path of ['', '/export', '/updates/latest', '/updates'])
      expect(await run.call('GET', `/api/stacks/local/empty/other${path}`), path).toMatchObject({
        status: 404,
      });
    expect(await run.call('DELETE', '/api/stacks/local/empty/other')).toMatchObject({ status: 404 });
    expect(await run.call('POST', '/api/stacks/local/empty/other/import', {})).toMatchObject({ status: 404 });
    expect(await run.call('POST', '/api/stacks/local/empty/other/update', {})).toMatchObject({ status: 404 });

    const refused: [string, string, unknown?][] = [
      ['GET', '/api/orgs/local/deployments'],
      ['POST', '/api/stacks/local/empty', { stackName: 'third' }],
      ['GET', '/api/stacks/local/empty/dev/deployments'],
      ['POST', '/api/stacks/local/empty/dev/deployments', { operation: 'update' }],
      ['GET', '/api/stacks/local/empty/dev/deployments/settings'],
      ['GET', `/api/slipway/runs/${deployment.id}`],
    ];
    for (const [method, path, body] of refused)
      expect([401, 403], `${method} ${path}`).toContain((await run.call(method, path, body)).status);
    expect(await api.call('GET', '/api/stacks/local/empty/other')).toMatchObject({ status: 200 });
  });

  test('is executed by a runner that only calls out: beyond loopback nothing listens there', async () => {
    const listening = await listeningAddresses(runner.pid);
    // The gateway of the run that lives.
    expect(listening).toContainEqual(expect.stringMatching(/^127\.0\.0\.1:\d+$/));
    expect(listening.filter((address) => !/^(127\.|\[::1\])/.test(address))).toEqual([]);
  });

  test('leaves a token that opens nothing any more', async () => {
    await deployment.cancel();
    expect(await deployment.finished()).toMatchObject({ outcome: 'failed', cause: 'cancelled' });
    const run = api.as(jobToken);
    for (const path of ['/api/user', '/api/user/stacks', '/api/stacks/local/empty/dev'])
      expect(await run.call('GET', path), path).toMatchObject({ status: 401 });
  }, 240_000);
});

describe('a runner that may not join ends with a sentence:', () => {
  test('its pool token is wrong', async () => {
    const args = ['--server', api.url, '--pool-token', 'slp-pool-wrong', '--tls-ca', files.certificate];
    const { status, said } = await endOf(startRunnerProcess(args));
    expect(status).toBe(1);
    expect(said).toMatch(/^slipway: .*no pool has this token.*--pool-token/m);
  }, 60_000);

  test('its control plane speaks plain HTTP beyond loopback', async () => {
    const args = ['--server', `http://${elsewhere.hostAddress}:1`, '--pool-token', poolToken];
    const { status, said } = await endOf(startRunnerProcess(args));
    expect(status).toBe(1);
    expect(said).toMatch(/^slipway: .*plain HTTP.*--insecure-http/m);
  }, 60_000);
});

const plainServerArgs = () => [
  ...['server', '--listen', `${elsewhere.hostAddress}:0`, '--data-dir', join(directory, 'plain')],
];

test('a control plane refuses to speak plain HTTP beyond loopback', async () => {
  const { status, said } = await endOf(startSlipwayProcess(plainServerArgs()));
  expect(status).toBe(1);
  expect(said).toMatch(/^slipway: .*in clear.*--insecure-http/m);
}, 60_000);

test('plain HTTP beyond loopback works where both sides are told that it is meant', async () => {
  await using plainServer = startSlipwayProcess([...plainServerArgs(), '--insecure-http']);
  const [, url = ''] = await plainServer.says(/ready at (http:\S+)/);
  const token = async (name: string) => (await readFile(join(directory, 'plain', name), 'utf8')).trim();
  const poolTokenOfPlain = await token('pool-token');
  await using plainRunner = startRunnerProcess([
    ...['--server', url, '--pool-token', poolTokenOfPlain, '--insecure-http'],
  ]);
  await plainRunner.says(/The runner works for the pool/);
  const plainStack = await makeStack(new Api(url, await token('admin-token')), gitServer);
  const deployment = await plainStack.deploy();
  expect(await deployment.finished()).toMatchObject({ outcome: 'succeeded' });
}, 300_000);

const socketTable = z.array(z.tuple([z.string(), z.string(), z.string(), z.string()]).rest(z.string()));
const listenState = '0A';

/** TCP addresses at which something listens in the network namespace of a process. */
async function listeningAddresses(pid: number): Promise<string[]> {
  const addresses: string[] = [];
  for (const name of ['tcp', 'tcp6']) {
    const [, ...lines] = (await readFile(`/proc/${pid}/net/${name}`, 'utf8')).trim().split('\n');
    for (const [, local, , state] of socketTable.parse(lines.map((line) => line.trim().split(/\s+/)))) {
      if (state === listenState) addresses.push(readAddress(local));
    }
  }
  return addresses;
}

/** `0100007F:1F90` → `127.0.0.1:8080`; 32-bit words are in the order of this machine's bytes, the lowest first. */
function readAddress(text: string): string {
  const [address = '', port = ''] = text.split(':');
  const words = (address.match(/.{8}/g) ?? []).map((word) => [...Buffer.from(word, 'hex')].reverse());
  const isLoopback6 =
    words.length === 4 && words.flat().every((byte, index) => byte === (index === 15 ? 1 : 0));
  const shown = words.length === 1 ? words.flat().join('.') : isLoopback6 ? '[::1]' : `[${address}]`;
  return `${shown}:${Number.parseInt(port, 16)}`;
}
