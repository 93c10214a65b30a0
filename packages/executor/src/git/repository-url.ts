import { StepFailure } from '../step.ts';

/** Where a repository is, without any password. */
export interface RepositoryUrl {
  readonly transport: 'http' | 'ssh';
  /** For git and for messages: a password that was in the text is not in it. */
  readonly url: string;
  /** The server over http(s), as git's `credential.<url>` settings name it; empty for ssh. */
  readonly origin: string;
  /** User name and password that were in the text. */
  readonly login: { readonly userName: string; readonly password: string } | null;
}

/** `user@host:path`, and not `scheme://`. */
const scpStyle = /^(?:\w[\w.-]*@)?\w[\w.-]*:(?!\/\/)[^\s]+$/;

/**
 * Reads the address of a repository: `https://…`, `http://…`, `ssh://…` or `user@host:path`. All else is refused:
 * git's other transports read local files or run programs. Throws a `StepFailure`.
 */
export function parseRepositoryUrl(text: string): RepositoryUrl {
  if (scpStyle.test(text)) return { transport: 'ssh', url: text, origin: '', login: null };
  const url = URL.parse(text);
  if (url?.protocol === 'ssh:' && url.hostname !== '') {
    url.password = '';
    return { transport: 'ssh', url: url.href, origin: '', login: null };
  }
  if ((url?.protocol === 'https:' || url?.protocol === 'http:') && url.hostname !== '') {
    return { transport: 'http', login: takeLogin(url), url: url.href, origin: url.origin };
  }
  throw new StepFailure(
    'source-unavailable',
    text === ''
      ? 'The deployment settings name no repository. Set it with `pulumi deployment settings edit`.'
      : `"${url ? withoutLogin(url) : text}" is not the address of a repository: it must begin with https://, http:// or ssh://, or look like git@host:owner/name.`,
  );
}

/** User name and password, which are not in the address any more. */
function takeLogin(url: URL): RepositoryUrl['login'] {
  const { username, password } = url;
  if (username === '' && password === '') return null;
  url.username = '';
  url.password = '';
  return { userName: decodeURIComponent(username), password: decodeURIComponent(password) };
}

function withoutLogin(url: URL): string {
  return url.href.replace(/\/\/[^/@]*@/, '//');
}
