import {
  mergePatch,
  mergeSettings,
  openedSettings,
  type SecretInput,
  type StoredSettings,
  secretInput,
  settingsOfDeployment,
  settingsShape,
  storedSettings,
  withoutEmpty,
} from '@slipway/core';
import { expect, test } from 'vitest';

/** Settings out of a request, with a lock that anyone could open. */
const parse = (body: object): StoredSettings =>
  settingsShape(
    secretInput.transform((input: SecretInput) =>
      input.kind === 'plain'
        ? input.value
        : { ciphertext: input.kind === 'secret' ? `sealed ${input.value}` : input.ciphertext },
    ),
  ).parse(body);

test('a merge patch leaves what is absent, removes null, merges objects and replaces anything else', () => {
  const target = { kept: 1, removed: 2, nested: { kept: true, changed: 'old' }, list: [1, 2] };
  const patch = {
    removed: null,
    nested: { changed: 'new' },
    list: [3],
    added: { deep: { null: null, one: 1 } },
  };
  expect(mergePatch(target, patch)).toEqual({
    kept: 1,
    nested: { kept: true, changed: 'new' },
    list: [3],
    added: { deep: { one: 1 } },
  });
});

test('a secret takes the place of a plain value, and the other way round', () => {
  const secret = parse({ operationContext: { environmentVariables: { A: { secret: 's' }, B: 'plain' } } });
  const swapped = parse({ operationContext: { environmentVariables: { A: 'plain', B: { secret: 's' } } } });
  expect(mergeSettings(secret, swapped)).toEqual({
    operationContext: { environmentVariables: { A: 'plain', B: { ciphertext: 'sealed s' } } },
  });
});

test.each([
  ['"text"', 'text', { kind: 'plain', value: 'text' }],
  ['secret', { secret: 's' }, { kind: 'secret', value: 's' }],
  ['ciphertext', { ciphertext: 'AAAA' }, { kind: 'ciphertext', ciphertext: 'AAAA' }],
  ['an empty object', {}, { kind: 'secret', value: '' }],
  ['explicit secret', { isSecret: true, value: 's' }, { kind: 'secret', value: 's' }],
  ['explicit plain', { isSecret: false, value: 'p' }, { kind: 'plain', value: 'p' }],
])('a secret value is read in the form: %s', (_form, wire, expected) => {
  expect(secretInput.parse(wire)).toEqual(expected);
});

test('an environment variable may have the name of a member of a secret', () => {
  const settings = parse({
    operationContext: { environmentVariables: { secret: 'plain', ciphertext: 'too' } },
  });
  expect(settings.operationContext?.environmentVariables).toEqual({ secret: 'plain', ciphertext: 'too' });
  expect(openedSettings(settings, () => 'never').secretValues).toEqual([]);
});

test.each(['repoUrl', 'repoURL', 'RepoUrl', 'REPOURL'])('the repository is read from "%s"', (name) => {
  expect(parse({ sourceContext: { git: { [name]: 'https://x/y' } } })).toEqual({
    sourceContext: { git: { repoUrl: 'https://x/y' } },
  });
});

test('an image is a text or an object, and a bare text drops the credentials of the image before', () => {
  const credentials = { username: 'u', password: { secret: 'p' } };
  const withLogin = parse({
    executorContext: { executorImage: { reference: 'private/image', credentials } },
  });
  expect(mergeSettings(withLogin, parse({ executorContext: { executorImage: 'public/image' } }))).toEqual({
    executorContext: { executorImage: { reference: 'public/image' } },
  });
  expect(mergeSettings(withLogin, parse({ executorContext: { executorImage: null } }))).toEqual({
    executorContext: {},
  });
});

test('one way to log in to git takes the place of another; of several, the ssh key counts', () => {
  const git = (gitAuth: object) => parse({ sourceContext: { git: { gitAuth } } });
  const token = git({ accessToken: { secret: 't' } });
  const basic = git({ basicAuth: { userName: 'u', password: { secret: 'p' } } });
  expect(mergeSettings(token, basic).sourceContext?.git?.gitAuth).toEqual({
    basicAuth: { userName: 'u', password: { ciphertext: 'sealed p' } },
  });
  const both = git({ accessToken: { secret: 't' }, sshAuth: { sshPrivateKey: { secret: 'k' } } });
  expect(mergeSettings({}, both).sourceContext?.git?.gitAuth).toEqual({
    sshAuth: { sshPrivateKey: { ciphertext: 'sealed k' } },
  });
});

test('gitHub and vcs of provider github say the same; another provider leaves no gitHub', () => {
  const older = mergeSettings({}, parse({ gitHub: { repository: 'acme/infra', deployCommits: true } }));
  expect(older.vcs).toEqual({ provider: 'github', repository: 'acme/infra', deployCommits: true });
  const newer = mergeSettings(older, parse({ vcs: { provider: 'github', repository: 'acme/other' } }));
  expect(newer.gitHub).toEqual({ repository: 'acme/other', deployCommits: true });
  const gitlab = mergeSettings(newer, parse({ vcs: { provider: 'gitlab', repository: 'acme/lab' } }));
  expect(gitlab).toEqual({ vcs: { provider: 'gitlab', repository: 'acme/lab' } });
  expect(mergeSettings(gitlab, parse({ gitHub: null })).vcs).toEqual(gitlab.vcs);
  expect(mergeSettings(newer, parse({ gitHub: null }))).toEqual({});
});

test('what the CLI sends empty does not wipe what is inherited; an empty variable is meant', () => {
  const request = {
    operation: 'update',
    executorContext: { workingDirectory: '' },
    sourceContext: { git: { repoUrl: '', branch: '' } },
    operationContext: { preRunCommands: [], operation: '', environmentVariables: { EMPTY: '' } },
    agentPoolID: null,
  };
  const stored = storedSettings.parse({
    agentPoolID: 'a-pool',
    sourceContext: { git: { repoUrl: 'https://x/y', branch: 'main' } },
    operationContext: { preRunCommands: ['date'] },
  });
  expect(settingsOfDeployment(stored, parse(withoutEmpty(request)), true)).toEqual({
    executorContext: undefined,
    sourceContext: { git: { repoUrl: 'https://x/y', branch: 'main' } },
    operationContext: { preRunCommands: ['date'], environmentVariables: { EMPTY: '' } },
  });
});

test('a commit, branch or tag in the request drops the inherited others', () => {
  const stored = storedSettings.parse({ sourceContext: { git: { repoUrl: 'https://x/y', branch: 'main' } } });
  const git = (revision: object) =>
    settingsOfDeployment(stored, parse({ sourceContext: { git: revision } }), true).sourceContext?.git;
  expect(git({ commit: 'abc' })).toEqual({ repoUrl: 'https://x/y', commit: 'abc' });
  expect(git({ branch: 'other' })).toEqual({ repoUrl: 'https://x/y', branch: 'other' });
  expect(git({ repoDir: 'infra' })).toEqual({ repoUrl: 'https://x/y', branch: 'main', repoDir: 'infra' });
});

test('settings that are not inherited are not there', () => {
  const stored = storedSettings.parse({ sourceContext: { git: { repoUrl: 'https://x/y' } } });
  expect(settingsOfDeployment(stored, parse({}), false)).toEqual({});
});

test.each([
  [
    'an environment variable with "=" in its name',
    { operationContext: { environmentVariables: { 'A=B': 'x' } } },
  ],
  ['a value with U+0000', { operationContext: { environmentVariables: { A: 'x\0' } } }],
  ['too many pre-run commands', { operationContext: { preRunCommands: Array(81).fill('date') } }],
  ['a number where a text belongs', { sourceContext: { git: { repoUrl: 7 } } }],
  [
    'a ciphertext that is not base64',
    { operationContext: { environmentVariables: { A: { ciphertext: '%' } } } },
  ],
])('refused: %s', (_what, body) => {
  expect(() => parse(body)).toThrow();
});
