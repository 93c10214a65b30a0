import { readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  ExecutorProcess,
  execute,
  type JobParts,
  jobFrame,
  type RunRecord,
  temporaryDirectory,
} from './testing/executor-process.ts';
import { commit, type GitServer, git, makeRepository, serveGit } from './testing/git-server.ts';
import { programFiles } from './testing/served-program.ts';
import { makeKey, type SshKey, type SshServer, serveSsh } from './testing/ssh-server.ts';

type Source = NonNullable<JobParts['source']>;

let directory: AsyncDisposable & { path: string };
let server: GitServer;
let repository: string;
let url: string;
let firstCommit: string;
let unadvertisedCommit: string;

beforeAll(async () => {
  directory = await temporaryDirectory();
  repository = `${directory.path}/repositories/program`;
  await makeRepository(`${directory.path}/repositories/library`, { 'library.txt': 'from the submodule\n' });
  await makeRepository(repository, { ...programFiles, 'version.txt': 'first\n' });
  firstCommit = await git(repository, 'rev-parse', 'HEAD');
  await git(repository, 'tag', 'v1');
  await commit(
    repository,
    { 'version.txt': 'second\n', 'infra/network/Pulumi.yaml': 'name: network\n' },
    'Second',
  );
  await git(repository, 'checkout', '--quiet', '-b', 'feature/one');
  await commit(repository, { 'version.txt': 'feature\n' }, 'Feature');
  await git(repository, 'checkout', '--quiet', '-b', 'gone');
  unadvertisedCommit = await commit(repository, { 'version.txt': 'gone\n' }, 'Gone');
  await commit(repository, { 'version.txt': 'after\n' }, 'After');
  await git(repository, 'checkout', '--quiet', 'main');
  server = await serveGit(`${directory.path}/repositories`);
  url = `${server.url}/program/.git`;
});
afterAll(async () => {
  await server[Symbol.asyncDispose]();
  await directory[Symbol.asyncDispose]();
});

/** Gets the source, prints `<version>|<branch>|<working directory>` and fails. */
async function getSource(source: Partial<Source>, parts: JobParts = {}): Promise<RunRecord> {
  const root = `${directory.path}/run`;
  try {
    return await execute(
      jobFrame(root, {
        source: { kind: 'git', repoUrl: url, ...source },
        preRunCommands: ['echo "$(cat version.txt)|$(git branch --show-current)|$(pwd)"; exit 9'],
        ...parts,
      }),
    );
  } finally {
    await rm(root, { recursive: true, force: true });
  }
}

const reachedCommand = {
  cause: 'program-error',
  message: 'The step "Pre-run command" failed with exit code 9.',
};

describe('the source is checked out', () => {
  test.each<[string, () => Partial<Source>, string]>([
    ['at the default branch', () => ({}), 'second|main'],
    ['at a branch', () => ({ branch: 'feature/one' }), 'feature|feature/one'],
    ['at a branch by its full name', () => ({ branch: 'refs/heads/feature/one' }), 'feature|feature/one'],
    ['at a tag', () => ({ tag: 'v1' }), 'first|'],
    ['at a commit that is no head', () => ({ commit: unadvertisedCommit }), 'gone|'],
    ['at an abbreviated commit', () => ({ commit: unadvertisedCommit.slice(0, 10) }), 'gone|'],
    [
      'at a commit, on a branch of the given name',
      () => ({ branch: 'main', commit: firstCommit }),
      'first|main',
    ],
  ])('%s', async (_name, source, printed) => {
    const record = await getSource(source());
    expect(record.result).toMatchObject(reachedCommand);
    expect(record.lines.at(-1)).toBe(`${printed}|${directory.path}/run/deployment`);
  });

  test('and commands work in the folder of the project', async () => {
    const record = await getSource({ repoDir: 'infra/network' });
    // Not the last line for certain: `cat` complains of the file that is not here, on the other stream.
    expect(record.lines).toContain(`|main|${directory.path}/run/deployment/infra/network`);
  });

  test('with its submodules', async () => {
    const library = `${server.url}/library/.git`;
    await git(repository, 'checkout', '--quiet', '-b', 'with-submodule', 'main');
    await git(repository, 'submodule', '--quiet', 'add', library, 'vendor/library');
    await git(repository, 'commit', '--quiet', '--message', 'Submodule');
    await git(repository, 'checkout', '--quiet', 'main');
    const record = await getSource(
      { branch: 'with-submodule' },
      { preRunCommands: ['cat vendor/library/*; exit 9'] },
    );
    expect(record.lines.at(-1)).toBe('from the submodule');
  });
});

describe('a source that cannot be had fails with a sentence that names it:', () => {
  test.each<[string, () => Partial<Source>, RegExp]>([
    [
      'repository',
      () => ({ repoUrl: `${server.url}/nothing.git` }),
      /nothing\.git could not be read: it does not exist/,
    ],
    [
      'server',
      () => ({ repoUrl: 'http://127.0.0.1:1/x.git' }),
      /127\.0\.0\.1:1\/x\.git could not be read: its server could/,
    ],
    [
      'host',
      () => ({ repoUrl: 'https://nowhere.invalid/x.git' }),
      /nowhere\.invalid.* its server could not be reached/,
    ],
    ['branch', () => ({ branch: 'nope' }), /program\/\.git has no branch "nope"/],
    ['tag', () => ({ tag: 'v9' }), /program\/\.git has no tag "v9"/],
    ['commit', () => ({ commit: 'a'.repeat(40) }), /has no commit a{40}/],
    ['what is no commit', () => ({ commit: '--upload-pack=x' }), /"--upload-pack=x" is not a commit/],
    ['what is no branch', () => ({ branch: 'a..b' }), /"a\.\.b" cannot be the name of a branch/],
    ['folder', () => ({ repoDir: 'nope' }), /no folder "nope" in the default branch of .*program/],
    ['folder outside', () => ({ repoDir: '../..' }), /"\.\.\/\.\." is outside the repository/],
    [
      'project',
      () => ({ repoUrl: `${server.url}/library/.git` }),
      /no Pulumi\.yaml at the top of the default branch of .*library/,
    ],
    ['a local file', () => ({ repoUrl: `file://${repository}` }), /is not the address of a repository/],
    [
      'a transport that runs programs',
      () => ({ repoUrl: 'ext::sh -c true' }),
      /is not the address of a repository/,
    ],
    ['no repository at all', () => ({ repoUrl: '' }), /name no repository/],
  ])('%s', async (_name, source, message) => {
    const { result, statuses } = await getSource(source());
    expect(result).toMatchObject({ outcome: 'failed', cause: 'source-unavailable' });
    expect(result.message).toMatch(message);
    expect(statuses).toEqual(['Get source: running', 'Get source: failed']);
  });
});

describe('over http with a password', () => {
  const password = 'pass/word canary';
  const secrets = [password];

  test.each<[string, Source['credentials'], string]>([
    ['basic', { kind: 'basic', userName: 'me', password }, 'me'],
    ['token', { kind: 'token', token: password }, 'x-access-token'],
  ])(
    '%s authentication opens a private repository, and only its server hears it',
    async (_name, credentials, userName) => {
      await using elsewhere = await serveGit(`${directory.path}/repositories`, {
        userName: 'other',
        password: 'other',
      });
      await using locked = await serveGit(`${directory.path}/repositories`, { userName, password });
      const granted = await getSource({ repoUrl: `${locked.url}/program/.git`, credentials }, { secrets });
      expect(granted.result).toMatchObject(reachedCommand);

      await makeRepository(`${directory.path}/repositories/with-foreign-${userName}`, programFiles);
      const foreign = `${directory.path}/repositories/with-foreign-${userName}`;
      await git(foreign, 'config', '--file', '.gitmodules', 'submodule.x.path', 'x');
      await git(
        foreign,
        'config',
        '--file',
        '.gitmodules',
        'submodule.x.url',
        `${elsewhere.url}/library/.git`,
      );
      await git(foreign, 'update-index', '--add', '--cacheinfo', `160000,${firstCommit},x`);
      await git(foreign, 'add', '.gitmodules');
      await git(foreign, 'commit', '--quiet', '--message', 'Submodule on another server');
      const repoUrl = `${locked.url}/with-foreign-${userName}/.git`;
      const refused = await getSource({ repoUrl, credentials }, { secrets });
      expect(refused.result.message).toMatch(
        /^A submodule of the repository .* could not be read: access was denied/,
      );
      expect(elsewhere.authorizations.length).toBeGreaterThan(0);
      expect(new Set(elsewhere.authorizations)).toEqual(new Set(['']));
    },
  );

  test('in the address itself, it works and appears nowhere', async () => {
    await using locked = await serveGit(`${directory.path}/repositories`, { userName: 'me', password });
    const repoUrl = `${locked.url}/program/.git`.replace('//', `//me:${encodeURIComponent(password)}@`);
    const record = await getSource(
      { repoUrl },
      { preRunCommands: ['git remote -v; cat .git/config; exit 9'] },
    );
    expect(record.result).toMatchObject(reachedCommand);
    expect(record.lines.join('\n')).toContain(`origin\t${locked.url}`);
    expect(record.lines.join('\n')).not.toMatch(/pass.*canary/);
  });

  test.each<[string, Source['credentials']]>([
    ['a wrong password', { kind: 'basic', userName: 'me', password: 'wrong-password' }],
    ['no password', undefined],
  ])('%s is told as what it is', async (_name, credentials) => {
    await using locked = await serveGit(`${directory.path}/repositories`, { userName: 'me', password });
    const { result } = await getSource({ repoUrl: `${locked.url}/program/.git`, credentials });
    expect(result).toMatchObject({ outcome: 'failed', cause: 'source-unavailable' });
    expect(result.message).toMatch(/could not be read: access was denied\. Check the git credentials/);
  });
});

describe('over ssh', () => {
  let key: SshKey;
  let lockedKey: SshKey;
  let sshServer: SshServer;
  let sshUrl: string;

  beforeAll(async () => {
    key = await makeKey(`${directory.path}/key`);
    lockedKey = await makeKey(`${directory.path}/locked-key`, 'open sesame');
    sshServer = await serveSsh(`${directory.path}/sshd`, [key, lockedKey]);
    sshUrl = `ssh://${sshServer.authority}${repository}`;
  });
  afterAll(() => sshServer[Symbol.asyncDispose]());

  test('a key opens the repository; an unknown server is accepted for this run', async () => {
    const { result } = await getSource({
      repoUrl: sshUrl,
      credentials: { kind: 'ssh', privateKey: key.privateKey },
    });
    expect(result).toMatchObject(reachedCommand);
  });

  test('a key with a passphrase does, also when the settings lost its last newline', async () => {
    const privateKey = lockedKey.privateKey.trim();
    const credentials = { kind: 'ssh', privateKey, passphrase: 'open sesame' } as const;
    expect((await getSource({ repoUrl: sshUrl, credentials })).result).toMatchObject(reachedCommand);
  });

  test('a wrong passphrase, and a key that the server does not know, are told as what they are', async () => {
    const stranger = await makeKey(`${directory.path}/stranger`);
    for (const credentials of [
      { kind: 'ssh', privateKey: lockedKey.privateKey, passphrase: 'wrong' },
      { kind: 'ssh', privateKey: stranger.privateKey },
    ] as const) {
      const { result } = await getSource({ repoUrl: sshUrl, credentials });
      expect(result.cause).toBe('source-unavailable');
      expect(result.message).toMatch(/access was denied|the ssh key could not be read/);
    }
  });

  test('with known hosts given, another host key is refused and the right one accepted', async () => {
    const credentials = { kind: 'ssh', privateKey: key.privateKey } as const;
    const [host = '', type = ''] = sshServer.knownHost.split(' ');
    const otherKey = key.publicKey.split(' ')[1];
    const refused = await getSource(
      { repoUrl: sshUrl, credentials },
      { environment: { SLIPWAY_GIT_KNOWN_HOSTS: `${host} ${type} ${otherKey}` } },
    );
    expect(refused.result.message).toMatch(/its server has another host key than the known hosts say/);
    const accepted = await getSource(
      { repoUrl: sshUrl, credentials },
      { environment: { SLIPWAY_GIT_KNOWN_HOSTS: sshServer.knownHost } },
    );
    expect(accepted.result).toMatchObject(reachedCommand);
  });

  test('nothing of the key is left for the steps behind', async () => {
    const places = ['/dev/shm', tmpdir()];
    const keyFolders = async () =>
      (await Promise.all(places.map((place) => readdir(place))))
        .flat()
        .filter((name) => name.startsWith('slipway-git-'));
    const before = await keyFolders();
    const credentials = { kind: 'ssh', privateKey: key.privateKey } as const;
    await using executor = new ExecutorProcess();
    executor.send(
      jobFrame(`${directory.path}/run-with-key`, {
        source: { kind: 'git', repoUrl: sshUrl, credentials },
        preRunCommands: ['echo "variables: $(env | grep -c -i -e ssh -e passphrase)"; sleep 2; exit 9'],
      }),
    );
    await executor.line('variables: 0');
    expect((await keyFolders()).filter((name) => !before.includes(name))).toEqual([]);
    expect((await executor.record()).result).toMatchObject(reachedCommand);
  });
});
