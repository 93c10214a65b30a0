import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { type PrivateHost, startPrivateHost } from './testing/private-host.ts';
import { expectSuccess } from './testing/pulumi-user.ts';
import { finishedDeployment, type SlipwayUnderTest, startSlipway } from './testing/slipway.ts';

const stack = 'local/private/dev';
let folder: string;
let host: PrivateHost;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'slipway-private-'));
  host = await startPrivateHost(folder, {
    'Pulumi.yaml': 'name: private\nruntime: nodejs\nmain: index.js\n',
    'package.json': '{"name": "private", "private": true}\n',
    'index.js': "'use strict';\n",
  });
});

afterAll(async () => {
  await host?.[Symbol.asyncDispose]();
  await rm(folder, { recursive: true, force: true });
});

/** A Slipway whose runs may reach the private host. */
async function start(flags: { caFile?: string }): Promise<SlipwayUnderTest> {
  const slipway = await startSlipway({ allowPrivateNetworks: [`${host.address}/32`], ...flags });
  expectSuccess(await slipway.pulumi(['login', slipway.url]));
  const created = await slipway.api('POST', '/api/stacks/local/private', { stackName: 'dev' });
  expect(created).toMatchObject({ status: 200 });
  return slipway;
}

/** Runs a preview of what is at `url`, after `commands`; answers the log as the CLI shows it, and the run. */
async function preview(slipway: SlipwayUnderTest, url: string, commands: readonly string[] = []) {
  const finished = await slipway.pulumi([
    ...['deployment', 'run', 'preview', `${url}/project.git`, '--git-branch', 'main', '--stack', stack],
    ...commands.flatMap((command) => ['--pre-run-command', command]),
    ...['--skip-install-dependencies', '--suppress-stream-logs=false'],
  ]);
  const run = await finishedDeployment(slipway, stack);
  return { code: finished.code, log: finished.stdout + finished.stderr, run };
}

describe('with the private authority given to the runner', () => {
  let slipway: SlipwayUnderTest;
  beforeAll(async () => {
    slipway = await start({ caFile: host.authorityFile });
  });
  afterAll(() => slipway?.close());

  test('git gets the source, and curl, Node, npm and pulumi trust the host', async () => {
    const hello = `${host.httpsUrl}/hello`;
    const certificate = await readFile(host.authorityFile, 'utf8');
    const lineOfCertificate = certificate.split('\n')[1];
    const { code, log } = await preview(slipway, host.httpsUrl, [
      `echo "curl: $(curl --silent --show-error --fail ${hello})"`,
      `node -e "fetch('${hello}').then((answer) => answer.text()).then((text) => console.log('node: ' + text))"`,
      `npm ping --registry ${host.httpsUrl}/npm/ 2>&1`,
      // What pip and other programs that the image does not have would read.
      `for file in "$PIP_CERT" "$REQUESTS_CA_BUNDLE" "$AWS_CA_BUNDLE" "$SSL_CERT_FILE"; do grep '${lineOfCertificate}' "$file" > /dev/null && echo "in a bundle"; done`,
      `PULUMI_HOME=/tmp/other PULUMI_ACCESS_TOKEN=other PULUMI_BACKEND_URL=${host.httpsUrl} pulumi whoami`,
    ]);
    expect(log).toContain('curl: hello from the private host');
    expect(log).toContain('node: hello from the private host');
    expect(log).toContain('npm notice PONG');
    expect(log.match(/in a bundle/g)).toHaveLength(4);
    expect(log).toContain('\nprivate-user\n');
    expect(code).toBe(0);
    for (const request of ['/project.git/git-upload-pack', '/hello', '/npm/-/ping', '/api/user'])
      expect(host.requests.filter((line) => line.startsWith('https') && line.endsWith(request))).not.toEqual(
        [],
      );
  }, 180_000);
});

describe('without the private authority, and with a proxy', () => {
  let slipway: SlipwayUnderTest;
  beforeAll(async () => {
    vi.stubEnv('HTTP_PROXY', host.proxyUrl);
    vi.stubEnv('HTTPS_PROXY', host.proxyUrl);
    vi.stubEnv('NO_PROXY', 'internal.example');
    // The runner reads them when it starts.
    slipway = await start({}).finally(() => vi.unstubAllEnvs());
  });
  afterAll(() => slipway?.close());

  test('Get source fails, and says that the certificate is the matter and what to do', async () => {
    const { code, log, run } = await preview(slipway, host.httpsUrl);
    const message =
      /the certificate of its server is not trusted\. Give the runner the certificate authority/;
    expect(code).not.toBe(0);
    expect(log).toMatch(message);
    expect(log).toContain(`${host.httpsUrl}/project.git`);
    expect(run).toMatchObject({
      outcome: 'failed',
      cause: 'source-unavailable',
      message: expect.stringMatching(message),
    });
    expect(host.requests).toContain(`proxy CONNECT ${new URL(host.httpsUrl).host}`);
  }, 120_000);

  test('requests go through the proxy, but not those to the gateway and to loopback', async () => {
    const before = host.requests.length;
    const names = ['HTTP_PROXY', 'http_proxy', 'HTTPS_PROXY', 'https_proxy', 'NO_PROXY', 'no_proxy'];
    const { code, log } = await preview(slipway, host.httpUrl, [
      ...names.map((name) => `echo "${name}=$${name};"`),
      `curl --silent --show-error --fail ${host.httpUrl}/hello`,
    ]);
    expect(code).toBe(0);
    for (const name of names.slice(0, 4)) expect(log).toContain(`${name}=${host.proxyUrl};`);
    for (const name of names.slice(4))
      expect(log).toContain(`${name}=internal.example,localhost,127.0.0.1,::1,slipway.internal;`);
    const requests = host.requests.slice(before);
    expect(requests).toContain(`proxy GET ${host.httpUrl}/project.git/info/refs?service=git-upload-pack`);
    expect(requests).toContain(`proxy GET ${host.httpUrl}/hello`);
    const proxied = requests.filter((line) => line.startsWith('proxy'));
    expect(proxied).toHaveLength(requests.filter((line) => line.startsWith('http ')).length);
    expect(proxied.join()).not.toContain('slipway.internal');
  }, 120_000);
});
