import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { GitCredentials } from '@slipway/core';
import type { Environment } from '../environment.ts';
import type { RepositoryUrl } from './repository-url.ts';

/** How git gets at a repository, for as long as it is not disposed of. */
export interface GitAccess extends AsyncDisposable {
  /** Settings for git's command line; no secret is in them. */
  readonly settings: readonly string[];
  readonly environment: Environment;
}

const userNameVariable = 'SLIPWAY_GIT_USER_NAME';
const passwordVariable = 'SLIPWAY_GIT_PASSWORD';
const passphraseVariable = 'SLIPWAY_SSH_PASSPHRASE';
/** Public keys of servers, as in a `known_hosts` file: with them, no other server is accepted. */
export const knownHostsVariable = 'SLIPWAY_GIT_KNOWN_HOSTS';

/** Memory that is no file on the volume, where the sandbox has it. */
const memoryDirectory = '/dev/shm';

const nothing = { settings: [], environment: {}, [Symbol.asyncDispose]: async () => {} };

/** Prepares access to `repository`. `environment` is that of the step. */
export async function gitAccess(
  repository: RepositoryUrl,
  credentials: GitCredentials | undefined,
  environment: Environment,
): Promise<GitAccess> {
  if (repository.transport === 'ssh') {
    return sshAccess(credentials?.kind === 'ssh' ? credentials : null, environment[knownHostsVariable]);
  }
  const login = httpLogin(repository, credentials);
  return login ? httpAccess(repository, login.userName, login.password) : nothing;
}

function httpLogin(
  repository: RepositoryUrl,
  credentials: GitCredentials | undefined,
): RepositoryUrl['login'] {
  switch (credentials?.kind) {
    case 'basic':
      return { userName: credentials.userName, password: credentials.password };
    case 'token':
      return { userName: tokenUserName(repository), password: credentials.token };
    default:
      return repository.login;
  }
}

/** Git hosts take any user name beside a token, but for Bitbucket, which wants its own. */
function tokenUserName(repository: RepositoryUrl): string {
  return new URL(repository.url).hostname === 'bitbucket.org' ? 'x-token-auth' : 'x-access-token';
}

/**
 * A credential helper for this one server, so that a submodule or a redirect to elsewhere does not get the password.
 * It reads the environment: command line and files hold no secret.
 */
function httpAccess({ origin }: RepositoryUrl, userName: string, password: string): GitAccess {
  const helper = `!f() { test "$1" = get && printf 'username=%s\\npassword=%s\\n' "$${userNameVariable}" "$${passwordVariable}"; }; f`;
  return {
    ...nothing,
    settings: ['-c', 'credential.helper=', '-c', `credential.${origin}.helper=${helper}`],
    environment: { [userNameVariable]: userName, [passwordVariable]: password },
  };
}

/**
 * Host keys: with `SLIPWAY_GIT_KNOWN_HOSTS` only the keys in it count. Otherwise a server that the image's own
 * `known_hosts` lists must have the key it says, and an unknown one is accepted for this run (`accept-new`).
 */
async function sshAccess(
  credentials: Extract<GitCredentials, { kind: 'ssh' }> | null,
  knownHosts: string | undefined,
): Promise<GitAccess> {
  const directory = await privateDirectory();
  const knownHostsFile = join(directory, 'known_hosts');
  await writeFile(knownHostsFile, knownHosts === undefined ? '' : `${knownHosts}\n`, { mode: 0o600 });
  const options = [
    'ConnectTimeout=30',
    'ServerAliveInterval=15',
    'PreferredAuthentications=publickey',
    ...(knownHosts === undefined
      ? ['StrictHostKeyChecking=accept-new', `UserKnownHostsFile=${knownHostsFile} ~/.ssh/known_hosts`]
      : [
          'StrictHostKeyChecking=yes',
          `UserKnownHostsFile=${knownHostsFile}`,
          'GlobalKnownHostsFile=/dev/null',
        ]),
  ];
  const environment: Record<string, string> = {};
  if (credentials) {
    const keyFile = join(directory, 'key');
    // OpenSSH refuses a key file whose last line has no newline or that has carriage returns.
    const key = `${credentials.privateKey.replaceAll('\r', '').trimEnd()}\n`;
    await writeFile(keyFile, key, { mode: 0o600 });
    options.push('IdentitiesOnly=yes', `IdentityFile=${keyFile}`);
    Object.assign(environment, await passphraseEnvironment(directory, credentials.passphrase));
  }
  environment.GIT_SSH_COMMAND = ['ssh', ...options.map((option) => `-o '${option}'`)].join(' ');
  return {
    settings: [],
    environment,
    [Symbol.asyncDispose]: () => rm(directory, { recursive: true, force: true }),
  };
}

/** ssh has a passphrase told to it by a program only. An empty answer makes it give up a key that has one. */
async function passphraseEnvironment(directory: string, passphrase = ''): Promise<Environment> {
  const program = join(directory, 'tell-passphrase');
  await writeFile(program, `#!/bin/sh\nprintf '%s\\n' "$${passphraseVariable}"\n`, { mode: 0o700 });
  return {
    [passphraseVariable]: passphrase,
    SSH_ASKPASS: program,
    SSH_ASKPASS_REQUIRE: 'force',
    // OpenSSH before 8.4 asks a program only when it believes in a display.
    DISPLAY: 'none',
  };
}

async function privateDirectory(): Promise<string> {
  const name = 'slipway-git-';
  return mkdtemp(join(memoryDirectory, name)).catch(() => mkdtemp(join(tmpdir(), name)));
}
