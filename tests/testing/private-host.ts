import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';
import { makeRepository } from '../../packages/executor/test/testing/git-server.ts';
import { makeNetworkNamespace } from './network-namespace.ts';

const execute = promisify(execFile);

export const privateHostPorts = { https: 8443, http: 8080, proxy: 3128 } as const;

/** A host with a private address, in a network namespace of its own, whose certificate no public authority signed. */
export interface PrivateHost extends AsyncDisposable {
  readonly address: string;
  /** Certificate (PEM file) of the authority that signed the host's certificate. */
  readonly authorityFile: string;
  readonly httpsUrl: string;
  readonly httpUrl: string;
  readonly proxyUrl: string;
  /** Its requests, as `https GET /path`, `http GET /path`, `proxy CONNECT host:port`, `proxy GET http://…`. */
  readonly requests: readonly string[];
}

/** Starts the host, with one repository `project.git` of `files` (path → text). Keeps its files in `folder`. */
export async function startPrivateHost(
  folder: string,
  files: Readonly<Record<string, string>>,
): Promise<PrivateHost> {
  await makeRepository(join(folder, 'repositories', 'project.git'), files);
  const namespace = await makeNetworkNamespace();
  const { address } = namespace;
  await makeCertificates(folder, address);
  const [command = '', ...enter] = namespace.enter;
  const program = join(import.meta.dirname, 'private-host-process.ts');
  const server = spawn(command, [...enter, process.execPath, program, folder, address], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const requests: string[] = [];
  const lines = createInterface(server.stdout);
  const ended = once(server, 'exit');
  await Promise.race([
    once(lines, 'line'),
    ended.then(() => Promise.reject(new Error('the private host could not start'))),
  ]);
  lines.on('line', (line) => requests.push(line));
  return {
    address,
    authorityFile: join(folder, 'authority.crt'),
    httpsUrl: `https://${address}:${privateHostPorts.https}`,
    httpUrl: `http://${address}:${privateHostPorts.http}`,
    proxyUrl: `http://${address}:${privateHostPorts.proxy}`,
    requests,
    async [Symbol.asyncDispose]() {
      server.kill();
      await ended;
      await namespace[Symbol.asyncDispose]();
    },
  };
}

/** An authority, and a certificate of it for `address`. */
async function makeCertificates(folder: string, address: string): Promise<void> {
  await mkdir(folder, { recursive: true });
  const openssl = (...args: string[]) => execute('openssl', args, { cwd: folder });
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2'];
  await openssl(
    ...['req', '-x509', ...key, '-keyout', 'authority.key', '-out', 'authority.crt'],
    ...['-subj', '/CN=Private test authority'],
  );
  await openssl(
    ...['req', '-x509', ...key, '-keyout', 'server.key', '-out', 'server.crt', '-subj', '/CN=private-host'],
    ...['-CA', 'authority.crt', '-CAkey', 'authority.key', '-addext', `subjectAltName=IP:${address}`],
    ...['-addext', 'basicConstraints=critical,CA:FALSE'],
  );
}
