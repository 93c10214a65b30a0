import { execFileSync } from 'node:child_process';

/** A line of the file that docker-registry compares logins with: a user name and the bcrypt hash of a password. */
export function passwordFileLine(userName: string, password: string): string {
  const script =
    'import crypt, sys; print(crypt.crypt(sys.argv[1], crypt.mksalt(crypt.METHOD_BLOWFISH, rounds=2**4)))';
  const hash = execFileSync('python3', ['-W', 'ignore', '-c', script, password], { encoding: 'utf8' });
  return `${userName}:${hash.trim()}\n`;
}
