import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';

export interface CommandOptions {
  /** Gets each line of output as it comes. */
  readonly report?: (line: string) => void;
  readonly environment?: NodeJS.ProcessEnv;
  readonly workingDirectory?: string;
  /** The command's standard input; empty when absent. */
  readonly input?: string;
  /** After this time the command is killed and the call fails; 30 minutes when absent. */
  readonly timeoutMilliseconds?: number;
}

/** A command failed. `output` holds its last lines, at most 50. */
export class CommandError extends Error {
  override readonly name = 'CommandError';
  readonly output: string;

  constructor(message: string, output: string, options?: ErrorOptions) {
    super(output === '' ? message : `${message}\n${output}`, options);
    this.output = output;
  }
}

const maximumOutputCharacters = 16 * 1024 * 1024;

/**
 * Runs a command to its end and answers its standard output (at most 16 Mi characters, the rest is dropped).
 * Throws a `CommandError` when it cannot be started, takes too long or ends with another code than 0.
 */
export async function runCommand(argv: readonly string[], options: CommandOptions = {}): Promise<string> {
  const [command = '', ...rest] = argv;
  const { report, timeoutMilliseconds = 30 * 60_000 } = options;
  const child = spawn(command, rest, {
    cwd: options.workingDirectory,
    env: options.environment ?? process.env,
    stdio: ['pipe', 'pipe', 'pipe'],
    timeout: timeoutMilliseconds,
    killSignal: 'SIGKILL',
  });
  const lastLines: string[] = [];
  let standardOutput = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    if (standardOutput.length < maximumOutputCharacters) standardOutput += text;
  });
  for (const stream of [child.stdout, child.stderr]) {
    createInterface({ input: stream }).on('line', (line) => {
      lastLines.push(line);
      if (lastLines.length > 50) lastLines.shift();
      report?.(line);
    });
  }
  child.stdin.on('error', () => {}); // A command that does not read its input is none of our concern.
  child.stdin.end(options.input ?? '');

  const [code, signal] = await once(child, 'close').catch((error: unknown) => {
    throw new CommandError(`\`${command}\` could not be started: is it installed?`, '', { cause: error });
  });
  if (code === 0) return standardOutput;
  const how = signal === 'SIGKILL' ? 'was killed (out of time or memory)' : `failed (exit code ${code})`;
  throw new CommandError(`\`${argv.slice(0, 3).join(' ')}\` ${how}`, lastLines.join('\n'));
}
