import { spawn } from 'node:child_process';
import { join } from 'node:path';

const program = join(import.meta.dirname, '..', '..', 'slipway');

/** `./slipway …` as a process of its own. */
export interface SlipwayProcess extends AsyncDisposable {
  readonly pid: number;
  /** What it has written to standard output and error so far. */
  readonly output: string;
  /** Its exit status, or the name of the signal that ended it. */
  readonly ended: Promise<number | NodeJS.Signals>;
  /** Waits until it has written something that matches; rejects with what it wrote when it ends before. */
  says(pattern: RegExp): Promise<RegExpExecArray>;
  kill(signal: NodeJS.Signals): void;
}

/**
 * Starts it, inside of `enter` (see `NetworkNamespace`) when that is given; `path` is where `./slipway` is seen there.
 */
export function startSlipwayProcess(
  args: readonly string[],
  enter: readonly string[] = [],
  path = program,
): SlipwayProcess {
  // Whatever ends the test ends it too.
  const command = ['--pdeathsig', 'KILL', ...enter, path, ...args];
  const child = spawn('setpriv', command, { stdio: ['ignore', 'pipe', 'pipe'] });
  const { pid } = child;
  if (pid === undefined) throw new Error(`${program} could not be started`);
  let output = '';
  let isOver = false;
  const changed = new EventTarget();
  const hear = (chunk: Buffer) => {
    output += chunk.toString();
    changed.dispatchEvent(new Event('change'));
  };
  child.stdout.on('data', hear);
  child.stderr.on('data', hear);
  const ended = new Promise<number | NodeJS.Signals>((resolve) => {
    child.once('close', (code, signal) => {
      isOver = true;
      resolve(signal ?? code ?? -1);
      changed.dispatchEvent(new Event('change'));
    });
  });
  return {
    pid,
    get output() {
      return output;
    },
    ended,
    says: async (pattern) => {
      for (;;) {
        const match = pattern.exec(output);
        if (match) return match;
        if (isOver) throw new Error(`slipway ${args[0]} ended without having said ${pattern}:\n${output}`);
        await new Promise((resolve) => changed.addEventListener('change', resolve, { once: true }));
      }
    },
    kill: (signal) => void child.kill(signal),
    [Symbol.asyncDispose]: async () => {
      if (isOver) return;
      child.kill('SIGINT');
      // A run that does not end is not to outlive its test.
      const impatience = setTimeout(() => child.kill('SIGKILL'), 20_000);
      await ended;
      clearTimeout(impatience);
    },
  };
}
