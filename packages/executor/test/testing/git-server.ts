import { execFile, spawn } from 'node:child_process';
import { mkdir, writeFile } from 'node:fs/promises';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** Runs git in `directory` and answers what it printed. */
export async function git(directory: string, ...parameters: string[]): Promise<string> {
  const identity = ['-c', 'user.name=Test', '-c', 'user.email=test@example.com'];
  const settings = ['-c', 'init.defaultBranch=main', '-c', 'protocol.file.allow=always'];
  const { stdout } = await run('git', [...identity, ...settings, ...parameters], { cwd: directory });
  return stdout.trim();
}

/** Makes a repository of `files` (path → text) with one commit on `main`. */
export async function makeRepository(
  directory: string,
  files: Readonly<Record<string, string>>,
): Promise<void> {
  await mkdir(directory, { recursive: true });
  await git(directory, 'init', '--quiet');
  await commit(directory, files, 'First');
}

/** Adds a commit; answers its hash. */
export async function commit(
  directory: string,
  files: Readonly<Record<string, string>>,
  message: string,
): Promise<string> {
  for (const [path, text] of Object.entries(files)) {
    await mkdir(dirname(join(directory, path)), { recursive: true });
    await writeFile(join(directory, path), text);
  }
  await git(directory, 'add', '--all');
  await git(directory, 'commit', '--quiet', '--message', message);
  return git(directory, 'rev-parse', 'HEAD');
}

export interface GitServer extends AsyncDisposable {
  readonly url: string;
  /** `Authorization` headers of the requests, in order; empty strings where there was none. */
  readonly authorizations: readonly string[];
}

/** Serves the repositories below `root` with git's own CGI program, at `address`. With `login`, only to who knows it. */
export async function serveGit(
  root: string,
  login?: { userName: string; password: string },
  address = '127.0.0.1',
): Promise<GitServer> {
  const authorizations: string[] = [];
  const expected = login && `Basic ${Buffer.from(`${login.userName}:${login.password}`).toString('base64')}`;
  const server = createServer((request, response) => {
    authorizations.push(request.headers.authorization ?? '');
    if (expected !== undefined && request.headers.authorization !== expected) {
      response.writeHead(401, { 'www-authenticate': 'Basic realm="git"' }).end('Authentication required');
    } else {
      answerGit(root, request, response);
    }
  });
  await new Promise<void>((resolve) => server.listen(0, address, resolve));
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://${address}:${port}`,
    authorizations,
    [Symbol.asyncDispose]: () =>
      new Promise((resolve) => {
        server.closeAllConnections();
        server.close(() => resolve());
      }),
  };
}

/** Answers one request with what the repositories below `root` hold. */
export function answerGit(root: string, request: IncomingMessage, response: ServerResponse): void {
  const { pathname, search } = new URL(request.url ?? '/', 'http://server');
  const backend = spawn('git', ['http-backend'], {
    env: {
      PATH: process.env.PATH,
      GIT_PROJECT_ROOT: root,
      GIT_HTTP_EXPORT_ALL: '1',
      PATH_INFO: decodeURIComponent(pathname),
      QUERY_STRING: search.slice(1),
      REQUEST_METHOD: request.method,
      CONTENT_TYPE: request.headers['content-type'],
      HTTP_CONTENT_ENCODING: request.headers['content-encoding'],
      GIT_PROTOCOL: request.headers['git-protocol']?.toString(),
    },
    stdio: ['pipe', 'pipe', 'ignore'],
  });
  request.pipe(backend.stdin);
  let head = Buffer.alloc(0);
  backend.stdout.on('data', function readHead(chunk: Buffer) {
    head = Buffer.concat([head, chunk]);
    const end = head.indexOf('\r\n\r\n');
    if (end < 0) return;
    backend.stdout.off('data', readHead);
    let status = 200;
    for (const line of head.toString('latin1', 0, end).split('\r\n')) {
      const [name = '', value = ''] = line.split(/:\s*/, 2);
      if (name === 'Status') status = Number.parseInt(value, 10);
      else response.setHeader(name, value);
    }
    response.writeHead(status);
    response.write(head.subarray(end + 4));
    backend.stdout.pipe(response);
  });
  backend.on('close', () => response.end());
}
