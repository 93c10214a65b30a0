import type { FrameFromExecutor, FrameToExecutor } from '@slipway/core';
import type { RunnerConnection } from '../runner-connection.ts';
import { CacheNotUsed } from './cache-not-used.ts';

type Answers = Extract<FrameToExecutor, { type: 'cache-restored' | 'cache-bytes' | 'cache-saved' }>;
type AnswerOf<Type extends Answers['type']> = Extract<Answers, { type: Type }>;

/** The runner's side of the cache: questions, each answered by the next frame of its kind. */
export class CacheConnection {
  readonly #connection: RunnerConnection;
  readonly #waiting = new Map<Answers['type'], (answer: Answers) => void>();

  constructor(connection: RunnerConnection) {
    this.#connection = connection;
  }

  /** Takes an answer of the runner. One that nobody waits for any more is dropped. */
  hear(answer: Answers): void {
    this.#waiting.get(answer.type)?.(answer);
    this.#waiting.delete(answer.type);
  }

  /** Asks, and waits until `signal` is aborted at most: throws its reason then. */
  async ask<Type extends Answers['type']>(
    question: FrameFromExecutor,
    type: Type,
    signal: AbortSignal,
  ): Promise<AnswerOf<Type>> {
    const answer = this.expect(type, signal);
    await this.#connection.send([question]);
    return answer;
  }

  /** The next answer of a kind, that a question already sent leads to. */
  async expect<Type extends Answers['type']>(type: Type, signal: AbortSignal): Promise<AnswerOf<Type>> {
    signal.throwIfAborted();
    const { promise, resolve, reject } = Promise.withResolvers<AnswerOf<Type>>();
    promise.catch(() => {});
    const giveUp = () => reject(signal.reason);
    signal.addEventListener('abort', giveUp, { once: true });
    this.#waiting.set(type, (answer) => {
      if (isOfType(answer, type)) resolve(answer);
    });
    try {
      return await promise;
    } finally {
      signal.removeEventListener('abort', giveUp);
    }
  }

  send(frame: FrameFromExecutor): Promise<void> {
    return this.#connection.send([frame]);
  }
}

function isOfType<Type extends Answers['type']>(answer: Answers, type: Type): answer is AnswerOf<Type> {
  return answer.type === type;
}

/** Aborted after so many seconds, and when the run is cancelled, with an error for the log. */
export function patience(seconds: number, what: string, interrupted: AbortSignal): AbortSignal {
  const controller = new AbortController();
  const timer = setTimeout(
    () => controller.abort(new CacheNotUsed(`${what} took longer than ${seconds} s`)),
    seconds * 1000,
  );
  timer.unref();
  return AbortSignal.any([controller.signal, interrupted]);
}
