import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { connect, createServer } from 'node:net';
import { userInfo } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';

const run = promisify(execFile);

export interface SshKey {
  readonly privateKey: string;
  readonly publicKey: string;
}

/** Makes a new key pair in `file` and `file`.pub. */
export async function makeKey(file: string, passphrase = ''): Promise<SshKey> {
  await run('ssh-keygen', ['-q', '-t', 'ed25519', '-N', passphrase, '-C', 'test', '-f', file]);
  const [privateKey, publicKey] = await Promise.all([
    readFile(file, 'utf8'),
    readFile(`${file}.pub`, 'utf8'),
  ]);
  return { privateKey, publicKey };
}

export interface SshServer extends AsyncDisposable {
  /** `user@host:port` for `ssh://` addresses. */
  readonly authority: string;
  /** As a line of `known_hosts`. */
  readonly knownHost: string;
}

/** A real sshd on loopback with its own configuration and host key; it lets the owners of `keys` in. */
export async function serveSsh(directory: string, keys: readonly SshKey[]): Promise<SshServer> {
  await mkdir(directory, { recursive: true });
  // Where sshd drops its rights, when root starts it; Debian makes it at boot.
  if (process.getuid?.() === 0) await mkdir('/run/sshd', { recursive: true });
  const hostKey = await makeKey(join(directory, 'host-key'));
  const authorizedKeys = join(directory, 'authorized-keys');
  await writeFile(authorizedKeys, keys.map((key) => key.publicKey).join(''), { mode: 0o600 });
  const port = await freePort();
  const options = {
    Port: port,
    ListenAddress: '127.0.0.1',
    HostKey: join(directory, 'host-key'),
    AuthorizedKeysFile: authorizedKeys,
    PasswordAuthentication: 'no',
    PidFile: 'none',
    StrictModes: 'no',
    UsePAM: 'no',
  };
  const parameters = Object.entries(options).flatMap(([name, value]) => ['-o', `${name}=${value}`]);
  const server = spawn('/usr/sbin/sshd', ['-D', '-e', '-f', '/dev/null', ...parameters], { stdio: 'ignore' });
  await whenListening(server, port);
  const [type, key] = hostKey.publicKey.split(' ');
  return {
    authority: `${userInfo().username}@127.0.0.1:${port}`,
    knownHost: `[127.0.0.1]:${port} ${type} ${key}`,
    async [Symbol.asyncDispose]() {
      server.kill();
      await once(server, 'exit');
    },
  };
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  if (address === null || typeof address === 'string') throw new Error('no TCP port');
  return address.port;
}

async function whenListening(server: ChildProcess, port: number): Promise<void> {
  for (let attempt = 0; attempt < 100; attempt += 1) {
    if (server.exitCode !== null) throw new Error(`sshd ended with exit code ${server.exitCode}`);
    const socket = connect(port, '127.0.0.1');
    try {
      await once(socket, 'connect');
      return;
    } catch {
      await sleep(50);
    } finally {
      socket.destroy();
    }
  }
  throw new Error('sshd does not listen');
}
