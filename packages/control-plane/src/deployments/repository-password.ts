import type { StoredSettings, StoredValue } from '@slipway/core';
import { badRequest } from '../http/errors.ts';

/** Everything before the host, but for the scheme. */
const userInformation = /^([a-z][a-z0-9+.-]*:\/\/)[^/\\?#]*@/i;

/**
 * Settings whose repository URL holds no password: the login in it, if there is one, becomes the `basicAuth` that it
 * means, sealed. `pulumi deployment settings edit` has no other way to give one. Throws 400 where that cannot be.
 */
export function withSealedPassword(
  settings: StoredSettings,
  seal: (text: string) => StoredValue,
): StoredSettings {
  if (hasPassword(settings.sourceContext?.template?.sourceUrl)) throw misplacedPassword('the template');
  const git = settings.sourceContext?.git;
  if (!git?.repoUrl || !hasPassword(git.repoUrl)) return settings;
  const { protocol, username, password } = new URL(git.repoUrl);
  const repoUrl = git.repoUrl.trim().replace(userInformation, '$1');
  const isWebUrl = protocol === 'https:' || protocol === 'http:';
  if (!isWebUrl || hasPassword(repoUrl)) throw misplacedPassword('the repository');
  if (Object.values(git.gitAuth ?? {}).some((login) => login != null)) {
    throw badRequest(
      'Bad Request: the URL of the repository holds a password, and "gitAuth" says how to log in as well: leave one of them out.',
    );
  }
  const basicAuth = { userName: seal(decoded(username)), password: seal(decoded(password)) };
  return {
    ...settings,
    sourceContext: { ...settings.sourceContext, git: { ...git, repoUrl, gitAuth: { basicAuth } } },
  };
}

function hasPassword(url: string | null | undefined): boolean {
  return Boolean(url && URL.parse(url)?.password);
}

function misplacedPassword(what: string) {
  return badRequest(
    `Bad Request: the URL of ${what} holds a password, which would be kept in clear: leave it out, and give it as "gitAuth" (with the CLI, \`pulumi deployment run --git-auth-password\` or \`--git-auth-access-token\`).`,
  );
}

/** As git reads it: a percent sign that escapes nothing stands for itself. */
function decoded(text: string): string {
  return text.replace(/(?:%[0-9a-f]{2})+/gi, (escaped) =>
    Buffer.from(escaped.replaceAll('%', ''), 'hex').toString('utf8'),
  );
}
