import { request as requestHttp } from 'node:http';
import { request as requestHttps } from 'node:https';
import * as z from 'zod';

export interface Answer {
  readonly status: number;
  readonly json: unknown;
}

/** The REST API of one control plane, called with one access token. */
export class Api {
  readonly url: string;
  readonly #token: string;
  readonly #certificateAuthority: string | undefined;

  constructor(url: string, token: string, certificateAuthority?: string) {
    this.url = url;
    this.#token = token;
    this.#certificateAuthority = certificateAuthority;
  }

  /** The same API, called by somebody else. */
  as(token: string): Api {
    return new Api(this.url, token, this.#certificateAuthority);
  }

  call(method: string, path: string, body?: unknown): Promise<Answer> {
    const { promise, resolve, reject } = Promise.withResolvers<Answer>();
    const send = this.url.startsWith('https:') ? requestHttps : requestHttp;
    const headers = { authorization: `token ${this.#token}`, 'content-type': 'application/json' };
    const ca = this.#certificateAuthority === undefined ? {} : { ca: this.#certificateAuthority };
    const request = send(`${this.url}${path}`, { method, headers, agent: false, ...ca }, (response) => {
      let text = '';
      response.setEncoding('utf8');
      response.on('data', (chunk: string) => {
        text += chunk;
      });
      response.on('error', reject);
      response.on('end', () =>
        resolve({ status: response.statusCode ?? 0, json: text === '' ? undefined : JSON.parse(text) }),
      );
    });
    request.on('error', reject);
    request.end(body === undefined ? undefined : JSON.stringify(body));
    return promise;
  }

  /** The same, and throws unless it succeeds. */
  async expect(method: string, path: string, body?: unknown): Promise<unknown> {
    const { status, json } = await this.call(method, path, body);
    if (status > 299) throw new Error(`${method} ${path} was answered ${status}: ${JSON.stringify(json)}`);
    return json;
  }
}

const runAnswer = z.object({
  state: z.enum(['queued', 'claimed', 'running', 'finished']),
  outcome: z.string().nullable(),
  cause: z.string().nullable(),
  message: z.string().nullable(),
});
const logAnswer = z.object({
  lines: z
    .array(
      z.object({
        header: z.string().optional(),
        line: z.string().optional(),
        timestamp: z.string().transform((text) => new Date(text)),
      }),
    )
    .default([]),
  nextToken: z.string().optional(),
});

/** A line of a log without its end, and when the sandbox read it. */
export interface TimedLine {
  readonly text: string;
  readonly at: Date;
}

/** One deployment, as the API tells of it. */
export class Deployment {
  readonly id: string;
  readonly #api: Api;
  readonly #stack: string;
  readonly #path: string;

  constructor(api: Api, stack: string, id: string) {
    this.id = id;
    this.#api = api;
    this.#stack = stack;
    this.#path = `/api/stacks/${stack}/deployments/${id}`;
  }

  /** The same deployment, asked for elsewhere: of a control plane that was started again, say. */
  through(api: Api): Deployment {
    return new Deployment(api, this.#stack, this.id);
  }

  async run(): Promise<z.infer<typeof runAnswer>> {
    return runAnswer.parse(await this.#api.expect('GET', `/api/slipway/runs/${this.id}`));
  }

  async cancel(): Promise<void> {
    await this.#api.expect('POST', `${this.#path}/cancel`, {});
  }

  /** Reads the log as it grows, a line at a time without its end, until it is complete. */
  async *follow(): AsyncGenerator<string, void> {
    for (let token: string | undefined = ''; token !== undefined; ) {
      const answer = await this.#readLog(token);
      for (const { text } of answer.lines) yield text;
      token = answer.nextToken;
    }
  }

  /** The log of a run that has nothing more to say for now: because it is finished, or waits. */
  async log(): Promise<string[]> {
    return (await this.timedLog()).map(({ text }) => text);
  }

  async timedLog(): Promise<TimedLine[]> {
    const lines: TimedLine[] = [];
    for (let token: string | undefined = ''; token !== undefined; ) {
      const answer = await this.#readLog(token);
      lines.push(...answer.lines);
      token = answer.nextToken === token ? undefined : answer.nextToken;
    }
    return lines;
  }

  /**
   * Follows the log up to a line that matches, and answers its first group (or the whole match). Throws, with the log,
   * when it is complete without such a line.
   */
  async logged(pattern: RegExp): Promise<string> {
    const lines: string[] = [];
    for await (const line of this.follow()) {
      const match = pattern.exec(line);
      if (match) return match[1] ?? match[0];
      lines.push(line);
    }
    throw new Error(`The run ended without having logged ${pattern}:\n${lines.join('\n')}`);
  }

  async #readLog(token: string): Promise<{ lines: TimedLine[]; nextToken: string | undefined }> {
    const query = token === '' ? '' : `?continuationToken=${encodeURIComponent(token)}`;
    const answer = logAnswer.parse(await this.#api.expect('GET', `${this.#path}/logs${query}`));
    const lines = answer.lines.flatMap(({ line, timestamp }) =>
      line === undefined ? [] : [{ text: line.replace(/\n$/, ''), at: timestamp }],
    );
    return { lines, nextToken: answer.nextToken };
  }

  /** How it ended, once it did. */
  async finished(timeoutMilliseconds = 180_000): Promise<z.infer<typeof runAnswer>> {
    return until('the run is finished', timeoutMilliseconds, async () => {
      const run = await this.run();
      return run.state === 'finished' ? run : undefined;
    });
  }
}

/** Asks until there is an answer, and answers it. Throws, naming `what`, when there is none in time. */
export async function until<T>(
  what: string,
  timeoutMilliseconds: number,
  ask: () => Promise<T | undefined> | T | undefined,
): Promise<T> {
  const deadline = performance.now() + timeoutMilliseconds;
  for (;;) {
    const answer = await ask();
    if (answer !== undefined) return answer;
    if (performance.now() > deadline)
      throw new Error(`Waited ${timeoutMilliseconds} ms in vain until ${what}.`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}
