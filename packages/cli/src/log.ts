import type { RunnerLog } from '@slipway/runner';

const levels = ['debug', 'info', 'warn', 'error'] as const;

/** A log of JSON lines, as the control plane's: one line an event, from `level` on. */
export function logTo(stream: NodeJS.WritableStream, level: string): RunnerLog {
  const names: readonly string[] = levels;
  const lowest = names.indexOf(level);
  const at = (each: (typeof levels)[number]) => (fields: object, message: string) => {
    if (levels.indexOf(each) < lowest) return;
    const line = { level: each, time: new Date().toISOString(), message, ...fields };
    stream.write(
      `${JSON.stringify(line, (_key, value) => (value instanceof Error ? describe(value) : value))}\n`,
    );
  };
  return { info: at('info'), warn: at('warn'), error: at('error') };
}

function describe(error: Error): object {
  return {
    name: error.name,
    message: error.message,
    stack: error.stack,
    ...(error.cause ? { cause: error.cause } : {}),
  };
}
