import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import * as z from 'zod';

const program = join(import.meta.dirname, '..', 'slipway');

let directory: string;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'slipway-command-line-'));
});
afterAll(() => rm(directory, { recursive: true, force: true }));

interface Ended {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs `slipway` to its end, with a home of its own. */
function slipway(args: readonly string[], environment: Readonly<Record<string, string>> = {}) {
  const { promise, resolve } = Promise.withResolvers<Ended>();
  const env = { ...process.env, HOME: directory, ...environment };
  execFile(program, args, { env, timeout: 30_000 }, (error, stdout, stderr) =>
    resolve({ code: error === null ? 0 : typeof error.code === 'number' ? error.code : -1, stdout, stderr }),
  );
  return promise;
}

const configuration = async (text: string) => {
  const path = join(directory, `${Math.random()}.yaml`);
  await writeFile(path, text);
  return path;
};

describe('a wrong command line ends with status 1 and a sentence that names the thing and the remedy:', () => {
  test.each<[string[], RegExp, Record<string, string>?]>([
    [['frobnicate'], /unknown command 'frobnicate'.*--help/s],
    [['up', '--frobnicate'], /unknown option '--frobnicate'.*--help/s],
    [['up', 'now'], /too many arguments for 'up'/],
    [['up', '--listen'], /'--listen <host:port>' argument missing/],
    [['up', '--listen', 'nowhere'], /"nowhere" is not an address.*host:port/],
    [['up', '--listen', '0.0.0.0:8900'], /0\.0\.0\.0.*in clear.*--tls-cert.*--insecure-http/],
    [['up', '--isolation', 'magic'], /'magic' is invalid.*vm, gvisor, container/],
    [['up', '--runners', '0'], /--runners.*'0' is invalid.*from 1 on/],
    [['up'], /'many' from env 'SLIPWAY_CPUS' is invalid.*whole number/, { SLIPWAY_CPUS: 'many' }],
    [['server', '--tls-cert', '/a.pem'], /--tls-cert and --tls-key belong together/],
    [['server', '--tls-cert', '/no.pem', '--tls-key', '/no.pem'], /--tls-cert cannot be read.*\/no\.pem/],
    [['server', '--organization', 'x'], /--organization "x".*3 to 40/],
    [['server', '--public-url', 'here'], /--public-url "here" is not a URL.*https:/],
    [['server', '--lease-seconds', '5'], /lease of 5 s is not safe.*6 to 300.*--lease-seconds/],
    [['server', '--master-key', 'abc'], /master key must be base64 of 32 bytes/],
    [['server', '--data-dir', '/dev/null'], /data directory \/dev\/null cannot be used.*--data-dir/],
    [['server', '--data-dir', '/proc/nope'], /data directory \/proc\/nope cannot be used.*--data-dir/],
    [['server', '--database-url', 'postgres://127.0.0.1:1/x'], /--database-url cannot be used.*ECONNREFUSED/],
    [['server'], /SLIPWAY_LOG_LEVEL is "loud".*debug, info, warn, error/, { SLIPWAY_LOG_LEVEL: 'loud' }],
    [
      ['runner', '--server', 'http://localhost:1', '--pool-token', 'x', '--data-dir', '/proc/a/b'],
      /data directory \/proc\/a\/b cannot be used.*--data-dir/,
    ],
    [['runner'], /--server is missing.*https:/],
    [['runner', '--server', 'http://localhost:1'], /--pool-token is missing.*\/pool-token/],
    [['runner', '--server', 'localhost', '--pool-token', 'x'], /"localhost" is not a URL/],
    [['runner', '--server', 'ftp://x', '--pool-token', 'x'], /ftp:\/\/x.*https:\/\/ or http:\/\//],
    [
      ['runner', '--server', 'http://localhost:1', '--pool-token', 'x', '--tls-ca', '/dev/null'],
      /--tls-ca, \/dev\/null, does not begin with a certificate/,
    ],
    [
      [
        'runner',
        '--server',
        'http://localhost:1',
        '--pool-token',
        'x',
        '--allow-private-networks',
        '10.0.0.1',
      ],
      /"10\.0\.0\.1" is not a network.*CIDR/,
    ],
    [
      ['runner', '--server', 'http://localhost:1', '--pool-token', 'x', '--default-image', 'A B'],
      /A B.*not an image reference/,
    ],
  ])('%j', async (args, sentence, environment) => {
    const { code, stderr } = await slipway(args, environment);
    expect(stderr).toMatch(sentence);
    expect(stderr).not.toMatch(/^\s+at /m);
    expect(code).toBe(1);
  });

  test('a configuration file that is not there, no YAML, with an unknown key or a wrong value', async () => {
    const cases: [path: string, RegExp][] = [
      ['/does/not/exist.yaml', /\/does\/not\/exist\.yaml cannot be read/],
      [await configuration('listen: [1'), /\.yaml is not YAML/],
      [await configuration('listne: 127.0.0.1:1'), /no setting: listne\. Known keys: .*listen/],
      [await configuration('listen: {port: 1}'), /the value of listen is not what it should be/],
      [await configuration('runners: 0'), /runners is wrong: "0".*from 1 on/],
      [await configuration('insecure-http: perhaps'), /insecure-http is wrong: "perhaps".*true or false/],
    ];
    for (const [path, sentence] of cases) {
      const { code, stderr } = await slipway(['up', '--config', path]);
      expect(stderr).toMatch(sentence);
      expect(code).toBe(1);
    }
  });

  test('a port that is in use; and nothing of the control plane runs on', async () => {
    const other = createServer().listen(0, '127.0.0.1');
    await once(other, 'listening');
    const { port } = other.address() as AddressInfo;
    const ended = await slipway(['server', '--listen', `127.0.0.1:${port}`]);
    other.close();
    expect(ended).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(new RegExp(`^slipway: Port ${port} of 127\\.0\\.0\\.1 .*--listen`)),
    });
  }, 30_000);
});

test('each command says what it is for, and what its options are', async () => {
  const help = async (...words: string[]) => (await slipway([...words, '--help'])).stdout;
  expect(await help()).toMatch(/^ +run +how runs went, and what they used$/m);
  expect(await help('run')).toMatch(/^ +list .*\n +show .*<run> .*why a run ended/m);
  expect(await help('run', 'show')).toMatch(/run +its id, organization\/project\/stack\/number/);
  expect(await help('run', 'list')).toMatch(/--stack.*\n(.*\n)*.*--limit <count>.*\(default: 20\)/);
});

test('a flag that a variable or the configuration file denies is not set', async () => {
  const everywhere = ['server', '--listen', '0.0.0.0:0'];
  const denied = { code: 1, stderr: expect.stringContaining('--insecure-http') };
  expect(await slipway(everywhere, { SLIPWAY_INSECURE_HTTP: 'false' })).toMatchObject(denied);
  const file = await configuration('insecure-http: false');
  expect(await slipway([...everywhere, '--config', file])).toMatchObject(denied);
});

test('the command line goes before variables, and those before the configuration file', async () => {
  const file = await configuration('listen: file\nserver: http://known-to-other-commands');
  const listening = async (args: string[], environment?: Record<string, string>) =>
    (await slipway(['server', '--config', file, ...args], environment)).stderr;
  expect(await listening([])).toContain('"file" is not an address');
  expect(await listening([], { SLIPWAY_LISTEN: 'variable' })).toContain('"variable" is not an address');
  expect(await listening(['--listen', 'line'], { SLIPWAY_LISTEN: 'variable' })).toContain('"line" is not');
});

describe('doctor', () => {
  const findings = z.array(
    z.object({
      check: z.string(),
      state: z.enum(['ok', 'note', 'missing']),
      message: z.string(),
      fix: z.string().optional(),
    }),
  );
  const examine = async (args: string[], environment?: Record<string, string>) => {
    const { code, stdout } = await slipway(['doctor', '--json', ...args], environment);
    return { code, findings: findings.parse(JSON.parse(stdout)) };
  };
  const isolation = ['--isolation', 'container'];

  test('says that this host has all that it needs, for programs and for people, and makes nothing', async () => {
    const before = await readdir(directory);
    const { code, findings: found } = await examine(isolation);
    expect(found.filter(({ state }) => state === 'missing')).toEqual([]);
    expect(code).toBe(0);
    expect(found.map(({ check }) => check)).toEqual(
      expect.arrayContaining(['Debian packages', 'User namespaces', '/dev/net/tun', 'Data', 'Containers']),
    );
    const { stdout } = await slipway(['doctor', ...isolation]);
    expect(stdout).toMatch(/^✔ Debian packages: all present$/m);
    expect(await readdir(directory)).toEqual(before);
  }, 30_000);

  test('names what is missing, with the fix, and ends with status 1', async () => {
    const { code, findings: found } = await examine([
      ...isolation,
      ...['--data-dir', '/dev/null/data', '--default-image', 'localhost/not/built:1'],
    ]);
    expect(code).toBe(1);
    expect(found).toContainEqual({
      check: 'Data',
      state: 'missing',
      message: expect.stringContaining('/dev/null'),
      fix: expect.stringContaining('--data-dir'),
    });
    expect(found).toContainEqual({
      check: 'Executor image',
      state: 'missing',
      message: expect.stringContaining('localhost/not/built:1'),
      fix: './slipway image build',
    });
  }, 30_000);

  test('finds what this host cannot give to sandboxes that ask for it, with the flag', async () => {
    const { code, findings: found } = await examine([...isolation, '--memory-mib', '100000000']);
    expect(code).toBe(1);
    expect(found).toContainEqual({
      check: 'Capacity',
      state: 'missing',
      message: expect.stringMatching(
        /This host can give a sandbox \d+ MiB of memory, and --memory-mib asks for/,
      ),
    });
  }, 30_000);
});
