import { expect, test } from 'vitest';
import { canonicalName, registryOf, repositoryOf } from '../src/index.ts';

test.each([
  ['docker.io/library/debian', ['debian', 'library/debian', 'docker.io/debian', 'index.docker.io/debian']],
  [
    'docker.io/library/debian',
    ['Docker.io/debian', 'docker.io:443/library/debian', 'INDEX.docker.io:443/debian'],
  ],
  ['docker.io/pulumi/pulumi', ['pulumi/pulumi', 'docker.io/pulumi/pulumi', 'index.docker.io/pulumi/pulumi']],
  ['registry.corp/app', ['registry.corp/app', 'Registry.Corp/app', 'registry.corp:443/app']],
])('%s is one repository, however it is spelled', (name, spellings) => {
  for (const spelling of spellings) expect(canonicalName(repositoryOf(spelling))).toBe(name);
});

test('repositories that may hold something else are others', () => {
  const names = [
    ...['debian', 'registry-1.docker.io/debian', 'registry.corp/debian', 'registry.corp/library/debian'],
    ...['registry.corp:80/debian', 'registry.corp:5000/debian', 'registry.corp:5443/debian'],
    ...['localhost/debian', 'other.docker.io/debian', 'corp/debian'],
  ];
  expect(new Set(names.map((name) => canonicalName(repositoryOf(name)))).size).toBe(names.length);
});

test('a registry is asked as it is spelled, since the logins of a host are known by that', () => {
  expect(registryOf('Registry.Corp:443/app:1')).toBe('Registry.Corp:443');
  expect(registryOf('index.docker.io/debian:12')).toBe('docker.io');
  expect(registryOf('debian:12')).toBe('docker.io');
});
