import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';

/** Runs a command and reports its output line by line. Throws with the last lines when it fails. */
export async function runWithOutput(
  argv: readonly string[],
  report: (line: string) => void,
  environment: NodeJS.ProcessEnv = process.env,
): Promise<void> {
  const [command = '', ...rest] = argv;
  const child = spawn(command, rest, { env: environment, stdio: ['ignore', 'pipe', 'pipe'] });
  const lastLines: string[] = [];
  for (const stream of [child.stdout, child.stderr]) {
    createInterface({ input: stream }).on('line', (line) => {
      lastLines.push(line);
      if (lastLines.length > 20) lastLines.shift();
      report(line);
    });
  }
  const [code] = await once(child, 'close');
  if (code !== 0)
    throw new Error(`\`${argv.join(' ')}\` failed (exit code ${code}):\n${lastLines.join('\n')}`);
}
