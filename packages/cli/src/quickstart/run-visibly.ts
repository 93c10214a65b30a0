import { spawn } from 'node:child_process';
import { once } from 'node:events';

/** Runs a command whose output the user sees as it comes. Answers its exit code. */
export async function runVisibly(
  argv: readonly string[],
  options: { readonly cwd: string; readonly env: NodeJS.ProcessEnv },
): Promise<number> {
  const [command = '', ...rest] = argv;
  const child = spawn(command, rest, { ...options, stdio: ['ignore', 'inherit', 'inherit'] });
  const [code] = await once(child, 'close');
  return typeof code === 'number' ? code : 1;
}
