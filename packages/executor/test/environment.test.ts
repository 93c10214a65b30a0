import { readFile } from 'node:fs/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { ExecutorProcess } from './testing/executor-process.ts';
import { ServedProgram } from './testing/served-program.ts';

let program: ServedProgram;
beforeAll(async () => {
  program = await ServedProgram.create();
});
afterAll(() => program[Symbol.asyncDispose]());

/** Reads `NAME=value` lines of `env`. */
function variablesIn(lines: readonly string[]): Record<string, string> {
  return Object.fromEntries(
    lines
      .filter((line) => /^\w+=/.test(line))
      .map((line) => [line.split('=', 1)[0] ?? '', line.replace(/^\w+=/, '')]),
  );
}

test('commands see the run, its stack and the control plane', async () => {
  const { lines } = await program.runCommands(['env'], {
    source: { kind: 'git', repoUrl: program.repoUrl, branch: 'refs/heads/main' },
  });
  expect(variablesIn(lines)).toMatchObject({
    PULUMI_ACCESS_TOKEN: '***',
    PULUMI_BACKEND_URL: 'http://slipway.internal',
    PULUMI_CI_SYSTEM: 'Pulumi Deployments',
    PULUMI_CI_BUILD_ID: '5d7c3a6e-0000-4000-8000-000000000001',
    PULUMI_CI_BUILD_NUMBER: '7',
    PULUMI_CI_BUILD_URL: 'http://console.example/run',
    PULUMI_CI_ORGANIZATION: 'organization',
    PULUMI_CI_PROJECT: 'greeting',
    PULUMI_CI_STACK: 'dev',
    PULUMI_CI_OPERATION: 'destroy',
    PULUMI_CI_BRANCH_NAME: 'main',
    PULUMI_SKIP_UPDATE_CHECK: 'true',
  });
});

test("the user's variables override the run's, and the image's; the image's reach the commands", async () => {
  const frame = program.frame({
    environment: { PULUMI_ACCESS_TOKEN: 'own', FROM_IMAGE: 'overridden' },
    preRunCommands: ['env; exit 9'],
  });
  Object.assign(frame.imageEnvironment, {
    FROM_IMAGE: 'image',
    ALSO_FROM_IMAGE: 'image',
    LD_LIBRARY_PATH: '/x',
  });
  expect(variablesIn((await program.run(frame)).lines)).toMatchObject({
    PULUMI_ACCESS_TOKEN: 'own',
    FROM_IMAGE: 'overridden',
    ALSO_FROM_IMAGE: 'image',
    LD_LIBRARY_PATH: '/x',
  });
});

test("nothing of the executor's own environment reaches the commands, nor does its channel", async () => {
  await using executor = new ExecutorProcess({ EXECUTOR_OWN: 'canary' });
  const script = 'env; echo "channel: $(readlink /proc/$PPID/fd/3)"; ls -l /proc/self/fd; exit 9';
  executor.send(program.frame({ preRunCommands: [script] }));
  const { lines } = await executor.record();
  expect(lines.join('\n')).not.toContain('EXECUTOR_OWN');
  const channel = lines.find((line) => line.startsWith('channel: '))?.replace('channel: ', '');
  expect(channel).toMatch(/^socket:/);
  expect(lines.filter((line) => line.endsWith(`-> ${channel}`))).toEqual([]);
});

test("a user's NODE_OPTIONS and LD_PRELOAD reach the commands and not the executor", async () => {
  const { result, lines } = await program.runCommands(['echo "options: $NODE_OPTIONS"'], {
    environment: { NODE_OPTIONS: '--require=/nowhere.js' },
  });
  expect(lines).toContain('options: --require=/nowhere.js');
  expect(result.message).toBe('The step "Pre-run command 2" failed with exit code 9.');
});

test('variables that a step leaves in PULUMI_ENV are loaded by the later ones, and override', async () => {
  const { lines } = await program.runCommands(
    [
      'printf "LEFT=first\\nLEFT=a=b c\\nUSERS=overridden\\nno assignment\\n" >> "$PULUMI_ENV_FILE"; echo "own: [$LEFT]"',
      'echo "later: [$LEFT] [$USERS]"',
    ],
    { environment: { USERS: 'settings' } },
  );
  expect(lines).toContain('own: []');
  expect(lines).toContain('later: [a=b c] [overridden]');
  expect(lines.find((line) => line.startsWith('Loading PULUMI_ENV from '))).toMatch(/run-\d+\/PULUMI_ENV$/);
  expect(lines.find((line) => line.startsWith('Ignoring line'))).toMatch(/Ignoring line 4 of .*PULUMI_ENV/);
});

test('a pipe in the place of PULUMI_ENV holds up nobody', async () => {
  const { lines } = await program.runCommands(['mkfifo "$PULUMI_ENV_FILE"', 'echo later']);
  expect(lines).toContain('later');
});

test('extra certificates stand behind the own ones of the image, wherever programs look for them', async () => {
  const extraCertificates = '-----BEGIN CERTIFICATE-----\nextra\n-----END CERTIFICATE-----\n';
  const { lines } = await program.runCommands(
    [
      'env; echo "bundle: $(tail -n 2 "$SSL_CERT_FILE" | head -n 1) $(grep -c BEGIN "$SSL_CERT_FILE")"; cat "$NODE_EXTRA_CA_CERTS"',
    ],
    {},
    { extraCertificates },
  );
  const variables = variablesIn(lines);
  for (const name of [
    'GIT_SSL_CAINFO',
    'CURL_CA_BUNDLE',
    'REQUESTS_CA_BUNDLE',
    'PIP_CERT',
    'npm_config_cafile',
  ]) {
    expect(variables[name], name).toBe(variables.SSL_CERT_FILE);
  }
  const own = (await readFile('/etc/ssl/certs/ca-certificates.crt', 'utf8')).match(/BEGIN/g)?.length ?? 0;
  expect(lines).toContain(`bundle: extra ${own + 1}`);
});

test('without extra certificates, the image decides where programs look', async () => {
  const { lines } = await program.runCommands(['env']);
  expect(lines.filter((line) => /^(SSL_CERT_FILE|NODE_EXTRA_CA_CERTS)=/.test(line))).toEqual([]);
});

test('proxies are set in both cases; loopback and the gateway are never behind one, whoever set it', async () => {
  const proxy = { http: 'http://proxy:3128', https: 'http://proxy:3129', noProxy: '.corp' };
  const direct = 'localhost,127.0.0.1,::1,slipway.internal';
  // The gateway is on loopback in a sandbox; here the git server is.
  const host = await program.runCommands(['env'], {}, { proxy });
  expect(variablesIn(host.lines)).toMatchObject({
    HTTP_PROXY: proxy.http,
    http_proxy: proxy.http,
    HTTPS_PROXY: proxy.https,
    https_proxy: proxy.https,
    NO_PROXY: `.corp,${direct}`,
    no_proxy: `.corp,${direct}`,
  });
  const user = await program.runCommands(
    ['env'],
    { environment: { HTTPS_PROXY: 'http://own', NO_PROXY: 'x.org' } },
    { proxy },
  );
  expect(variablesIn(user.lines)).toMatchObject({
    HTTPS_PROXY: 'http://own',
    NO_PROXY: `x.org,.corp,${direct}`,
  });
});
