import type { GitCredentials, GitSource } from '@slipway/core';

/** What of the settings says where the program is, secrets opened. */
export interface SourceSettings {
  readonly sourceContext?: { readonly git?: GitSettings | null | undefined } | null | undefined;
  readonly gitHub?: { readonly repository?: string | null | undefined } | null | undefined;
  readonly vcs?:
    | { readonly provider: string; readonly repository?: string | null | undefined }
    | null
    | undefined;
}

type Optional<T> = T | null | undefined;

interface GitSettings {
  readonly repoUrl?: Optional<string>;
  readonly branch?: Optional<string>;
  readonly tag?: Optional<string>;
  readonly commit?: Optional<string>;
  readonly repoDir?: Optional<string>;
}

/** The three ways to log in, opened. */
export interface OpenedGitAuth {
  readonly sshAuth?: Optional<{ readonly sshPrivateKey: string; readonly password?: Optional<string> }>;
  readonly accessToken?: Optional<string>;
  readonly basicAuth?: Optional<{ readonly userName: string; readonly password: string }>;
}

const hosts: Readonly<Record<string, string>> = {
  github: 'https://github.com',
  gitlab: 'https://gitlab.com',
  bitbucket: 'https://bitbucket.org',
};

/** The URL of the repository; undefined when the settings name none. */
export function repositoryUrl(settings: SourceSettings): string | undefined {
  const { repoUrl } = settings.sourceContext?.git ?? {};
  if (repoUrl) return repoUrl;
  const { provider, repository } = settings.vcs ?? { provider: 'github', ...settings.gitHub };
  const host = hosts[provider];
  return host && repository ? `${host}/${repository}` : undefined;
}

/** Where the executor finds the program, without credentials; undefined when the settings name no repository. */
export function gitSourceOf(settings: SourceSettings): GitSource | undefined {
  const repoUrl = repositoryUrl(settings);
  if (repoUrl === undefined) return undefined;
  const git = settings.sourceContext?.git ?? {};
  return {
    kind: 'git',
    repoUrl,
    ...(git.branch && { branch: git.branch.replace(/^refs\/heads\//, '') }),
    ...(git.tag && { tag: git.tag.replace(/^refs\/tags\//, '') }),
    ...(git.commit && { commit: git.commit }),
    ...(git.repoDir && { repoDir: git.repoDir }),
  };
}

export function gitCredentialsOf(auth: Optional<OpenedGitAuth>): GitCredentials | undefined {
  if (auth?.sshAuth) {
    const { sshPrivateKey: privateKey, password } = auth.sshAuth;
    return { kind: 'ssh', privateKey, ...(password && { passphrase: password }) };
  }
  if (auth?.accessToken) return { kind: 'token', token: auth.accessToken };
  return auth?.basicAuth ? { kind: 'basic', ...auth.basicAuth } : undefined;
}
