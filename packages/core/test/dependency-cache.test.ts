import { expect, test } from 'vitest';
import { type CacheTrust, cacheScopesOf } from '../src/dependency-cache.ts';
import { operation } from '../src/run.ts';

const trust = (parts: Partial<CacheTrust> = {}): CacheTrust => ({
  stackId: 'dev',
  operation: 'update',
  pullRequest: null,
  isSeparate: false,
  ...parts,
});

test.each(operation.options.filter((name) => name !== 'preview'))(
  'a run of the operation %s reads and writes the main scope',
  (name) => {
    expect(cacheScopesOf(trust({ operation: name }))).toEqual({ writeScope: 'main', readScopes: ['main'] });
  },
);

const lessTrusted: [string, Partial<CacheTrust>][] = [
  ['a preview', { operation: 'preview' }],
  ['an update for a pull request', { pullRequest: 7 }],
  ['a preview for a pull request', { operation: 'preview', pullRequest: 7 }],
  ['a stack that is kept apart', { isSeparate: true }],
];

test.each(lessTrusted)('%s reads the main scope after its own, and never writes it', (_name, parts) => {
  const { writeScope, readScopes } = cacheScopesOf(trust(parts));
  expect(writeScope).not.toBe('main');
  expect(readScopes).toEqual([writeScope, 'main']);
});

test('what is trusted less never shares a scope with another of its kind, nor with each other', () => {
  const everyOne = ['dev', 'prod'].flatMap((stackId) =>
    [...lessTrusted.map(([, parts]) => parts), { pullRequest: 8 }].map((parts) =>
      cacheScopesOf(trust({ stackId, ...parts })),
    ),
  );
  const scopes = everyOne.map(({ writeScope }) => writeScope);
  // A preview for a pull request shares with an update for it: both are of the same request.
  expect(new Set(scopes).size).toBe(scopes.length - 2);
});

test('no name of a stack makes its scope look like another', () => {
  const { writeScope } = cacheScopesOf(trust({ stackId: 'main', isSeparate: true }));
  expect(writeScope).not.toBe('main');
});
