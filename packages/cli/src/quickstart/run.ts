import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { promisify } from 'node:util';

const execute = promisify(execFile);

interface RunOptions {
  readonly cwd?: string;
  readonly env?: NodeJS.ProcessEnv;
}

/** Runs a command to its end and answers its output. Throws with what it printed when it fails. */
export async function run(argv: readonly string[], options: RunOptions = {}): Promise<{ stdout: string }> {
  const [command = '', ...rest] = argv;
  try {
    return await execute(command, rest, options);
  } catch (error) {
    const printed = error instanceof Error && 'stderr' in error ? `\n${error.stderr}` : '';
    throw new Error(
      `\`${argv.join(' ')}\` failed: ${error instanceof Error ? error.message : error}${printed}`,
    );
  }
}

/** Runs a command whose output the user sees as it comes. Answers its exit code. */
export async function runVisibly(argv: readonly string[], options: RunOptions = {}): Promise<number> {
  const [command = '', ...rest] = argv;
  const child = spawn(command, rest, { ...options, stdio: ['ignore', 'inherit', 'inherit'] });
  const [code] = await once(child, 'close');
  return typeof code === 'number' ? code : 1;
}
