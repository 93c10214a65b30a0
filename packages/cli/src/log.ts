import type { RunnerLog } from '@slipway/runner';

const levels = ['debug', 'info', 'warn', 'error'] as const;

/** The level that the environment asks for. Throws an `Error` for the user when there is no such level. */
export function logLevel(environment: NodeJS.ProcessEnv): (typeof levels)[number] {
  const asked = environment.SLIPWAY_LOG_LEVEL ?? 'warn';
  const found = levels.find((level) => level === asked);
  if (found === undefined)
    throw new Error(`SLIPWAY_LOG_LEVEL is "${asked}"; it must be one of ${levels.join(', ')}.`);
  return found;
}

/** A log of JSON lines, as the control plane's: one line an event, from `level` on. */
export function logTo(stream: NodeJS.WritableStream, level: (typeof levels)[number]): RunnerLog {
  const lowest = levels.indexOf(level);
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
