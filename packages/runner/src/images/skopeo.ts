import { spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { closeSync, openSync, unlinkSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { maskPatterns, type RegistryCredentials, StreamMasker } from '@slipway/core';

/** The authentication file of one call: its descriptor, so that no file with a password in it has a name. */
const authenticationDescriptor = 3;
export const authenticationPath = `/proc/self/fd/${authenticationDescriptor}`;
const maximumOutputBytes = 16 * 1024 * 1024;
const keptErrorCharacters = 4000;

export interface SkopeoCall {
  /** Without the name of the program. `withLogin` adds the login. */
  readonly argv: readonly string[];
  /** Puts it into the network that it may use. */
  readonly enter: readonly string[];
  /** Registry and login; null as the host logs in: its authentication files and credential helpers, or none. */
  readonly login: { readonly registry: string; readonly credentials: RegistryCredentials } | null;
  /** Largest file that it may write. */
  readonly maximumFileBytes?: number;
  /** Ends it; the call then rejects with the signal's reason. */
  readonly signal: AbortSignal;
}

/** skopeo failed; `output` is the end of what it said, without the login that it was given. */
export class SkopeoFailed extends Error {
  override readonly name = 'SkopeoFailed';
  readonly output: string;

  constructor(output: string) {
    super(`skopeo failed: ${output}`);
    this.output = output;
  }
}

/** Runs skopeo and answers its output. It dies with this process. Throws `SkopeoFailed`. */
export async function runSkopeo({
  argv,
  enter,
  login,
  maximumFileBytes,
  signal,
}: SkopeoCall): Promise<string> {
  signal.throwIfAborted();
  const authentication = login === null ? undefined : authenticationFile(login);
  const limit = maximumFileBytes === undefined ? [] : ['prlimit', `--fsize=${maximumFileBytes}`];
  const [command = '', ...rest] = [...enter, 'setpriv', '--pdeathsig', 'KILL', ...limit, 'skopeo', ...argv];
  try {
    const child = spawn(command, rest, { stdio: ['ignore', 'pipe', 'pipe', authentication ?? 'ignore'] });
    const kill = () => child.kill('SIGKILL');
    signal.addEventListener('abort', kill, { once: true });
    let output = '';
    let errors = '';
    let masker: StreamMasker | undefined;
    child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      if (output.length < maximumOutputBytes) output += text;
    });
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      // Made when it is needed, as most calls say nothing.
      masker ??= new StreamMasker(maskPatterns(secretsOf(login)));
      errors = (errors + masker.push(text)).slice(-keptErrorCharacters);
    });
    const [code] = await once(child, 'close');
    signal.removeEventListener('abort', kill);
    signal.throwIfAborted();
    if (code !== 0) throw new SkopeoFailed((errors + (masker?.end() ?? '')).trim());
    return output;
  } finally {
    if (authentication !== undefined) closeSync(authentication);
  }
}

/** What a registry that has seen the login may say back. */
function secretsOf(login: SkopeoCall['login']): readonly string[] {
  if (login === null) return [];
  const { username, password } = login.credentials;
  return [password, `${username}:${password}`];
}

/** https://github.com/containers/image/blob/main/docs/containers-auth.json.5.md */
function authenticationFile({ registry, credentials }: NonNullable<SkopeoCall['login']>): number {
  const { username, password } = credentials;
  const auth = Buffer.from(`${username}:${password}`).toString('base64');
  const path = join(tmpdir(), `slipway-${randomUUID()}`);
  const descriptor = openSync(path, 'wx+', 0o600);
  unlinkSync(path);
  writeSync(descriptor, JSON.stringify({ auths: { [registry]: { auth } } }));
  return descriptor;
}
