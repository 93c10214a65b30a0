import { describe, expect, test } from 'vitest';
import {
  completeSize,
  defaultRunSandbox,
  poolSandboxSettings,
  runSandboxOf,
  sandboxObjections,
  sandboxSettings,
} from '../src/index.ts';

const pool = (settings: unknown) => poolSandboxSettings.parse(settings);
const stack = (settings: unknown) => sandboxSettings.parse(settings);
const allow = (...hosts: string[]) => ({ mode: 'allow' as const, hosts });

test('without a word from pool and stack a run gets the defaults', () => {
  expect(runSandboxOf(pool({}), {})).toEqual(defaultRunSandbox);
});

test('a stack overrides the defaults of its pool, part by part', () => {
  const granted = runSandboxOf(
    pool({ defaults: { size: { cpus: 1, memoryMiB: 4096 }, timeLimits: { runSeconds: 600 } } }),
    stack({ size: { memoryMiB: 2048 }, logMiB: 10 }),
  );
  expect(granted).toEqual({
    size: { cpus: 1, memoryMiB: 2048 },
    largestSize: {},
    cacheScope: 'project',
    egress: { mode: 'open' },
    timeLimits: { runSeconds: 600 },
    logMiB: 10,
  });
});

test('a pool that keeps its stacks apart lets no stack write what others read', () => {
  const apart = pool({ maximum: { cacheScope: 'stack' } });
  expect(runSandboxOf(apart, stack({ cacheScope: 'project' })).cacheScope).toBe('stack');
  expect(runSandboxOf(pool({ defaults: { cacheScope: 'stack' } }), {}).cacheScope).toBe('stack');
  expect(sandboxObjections(apart, stack({ cacheScope: 'project' }))).toEqual([
    '"cacheScope" is "project", and the pool allows "stack" only',
  ]);
  expect(sandboxObjections(apart, stack({ cacheScope: 'stack' }))).toEqual([]);
});

describe('nobody gets more than the maximum of the pool', () => {
  const maximum = {
    size: { memoryMiB: 4096 },
    timeLimits: { runSeconds: 900 },
    egress: allow('a.example', 'b.example'),
  };

  test('a wish above it is refused by name', () => {
    expect(
      sandboxObjections(
        pool({ maximum }),
        stack({
          size: { memoryMiB: 8192, cpus: 8 },
          timeLimits: { runSeconds: 901 },
          egress: { mode: 'open' },
        }),
      ),
    ).toEqual([
      '"size.memoryMiB" is 8192, and the pool allows at most 4096',
      '"timeLimits.runSeconds" is 901, and the pool allows at most 900',
      '"egress" reaches further than the pool allows (only a.example, b.example)',
    ]);
    expect(
      sandboxObjections(pool({ maximum }), stack({ size: { memoryMiB: 4096 }, egress: { mode: 'none' } })),
    ).toEqual([]);
  });

  test('a wish from before the maximum was lowered is cut to it', () => {
    const wish = stack({
      size: { memoryMiB: 8192 },
      timeLimits: { runSeconds: 10_000 },
      egress: allow('b.example', 'c.example'),
    });
    expect(runSandboxOf(pool({ maximum }), wish)).toMatchObject({
      size: { memoryMiB: 4096 },
      timeLimits: { runSeconds: 900 },
      egress: allow('b.example'),
    });
    expect(runSandboxOf(pool({ maximum }), stack({ egress: allow('c.example') })).egress).toEqual({
      mode: 'none',
    });
    expect(runSandboxOf(pool({ maximum }), stack({ egress: { mode: 'open' } })).egress).toEqual(
      maximum.egress,
    );
  });

  test('the maximum holds also where nobody wished for anything', () => {
    const granted = runSandboxOf(pool({ maximum }), {});
    expect(granted).toMatchObject({ timeLimits: { runSeconds: 900 }, egress: maximum.egress });
    const smallRunner = { cpus: 2, memoryMiB: 2048, volumeGiB: 32 };
    expect(completeSize(granted, smallRunner)).toEqual(smallRunner);
    const largeRunner = { ...smallRunner, memoryMiB: 8192 };
    expect(completeSize(granted, largeRunner)).toEqual({ ...largeRunner, memoryMiB: 4096 });
  });
});

test.each([
  ['a name', 'registry.example.com', true],
  ['any name below a name', '*.example.com', true],
  ['an IPv4 network', '10.1.0.0/16', true],
  ['an IPv6 address', '2001:db8::1', true],
  ['a URL', 'https://example.com', false],
  ['a port', 'example.com:443', false],
  ['a star in the middle', 'a.*.example.com', false],
])('an allowed host: %s', (_, host, isAllowed) => {
  expect(sandboxSettings.safeParse({ egress: allow(host) }).success).toBe(isAllowed);
});

describe('a host of an egress policy', () => {
  test.each([
    ...['packages.example.org', 'localhost', '*.example.com', 'example.com.', '_dmarc.example.com'],
    ...['10.1.2.3', '10.1.0.0/16', '2001:db8::1', '2001:db8::/32', '::ffff:10.0.0.1'],
  ])('may be %s', (host) => {
    expect(sandboxSettings.safeParse({ egress: allow(host) }).success).toBe(true);
  });

  test.each([
    ...['', '*', '*.', 'a b', 'https://example.com', 'example.com/path', 'example.com:443', '-a.example'],
    ...['10.1.2.300', '10.1.2', '10.0.0.0/33', '::1::', '2001:db8::/129', 'a.example\nserver=/b/1.1.1.1'],
  ])('may not be %j', (host) => {
    expect(sandboxSettings.safeParse({ egress: allow(host) }).success).toBe(false);
  });
});
