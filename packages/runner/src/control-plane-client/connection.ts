import { Agent as HttpAgent, type IncomingMessage, request as requestHttp } from 'node:http';
import { Agent as HttpsAgent, request as requestHttps } from 'node:https';
import { getCACertificates } from 'node:tls';
import { runnerContractPath } from '@slipway/core';

/** The most bytes of an answer that are read. The largest one is a job with its secrets. */
const maximumAnswerBytes = 8 * 1024 * 1024;
const maximumSockets = 256;

/** One answer of the control plane, whatever its status. */
export interface Answer {
  readonly status: number;
  readonly body: string;
}

export interface CallOptions {
  /** The whole `Authorization` header: `token …` or `lease …`. */
  readonly authorization: string;
  /** JSON text, whole or in parts. */
  readonly body: string | readonly Buffer[];
  readonly timeoutMilliseconds: number;
  /** Gives the call up. */
  readonly signal?: AbortSignal;
  /** Others than those that say JSON. */
  readonly headers?: Readonly<Record<string, string>>;
}

export interface OpenOptions {
  readonly method: 'GET' | 'POST';
  readonly headers: Readonly<Record<string, string>>;
  readonly parts: readonly Buffer[];
  readonly signal: AbortSignal;
}

/** The way to the control plane: POST with JSON over kept-alive connections. Only the runner calls. */
export class Connection {
  readonly #server: URL;
  readonly #agent: HttpAgent | HttpsAgent;

  /** `certificateAuthority`: PEM, trusted besides the public ones when the server speaks TLS. */
  constructor(server: URL, certificateAuthority?: string) {
    this.#server = server;
    const settings = { keepAlive: true, maxSockets: maximumSockets };
    this.#agent =
      server.protocol === 'https:'
        ? new HttpsAgent({
            ...settings,
            ...(certificateAuthority && { ca: [...getCACertificates('default'), certificateAuthority] }),
          })
        : new HttpAgent(settings);
  }

  /** Sends one call of the runner contract. Rejects when there is no whole answer in time. */
  async post(name: string, options: CallOptions): Promise<Answer> {
    const signal = AbortSignal.any([
      AbortSignal.timeout(options.timeoutMilliseconds),
      ...(options.signal ? [options.signal] : []),
    ]);
    const { authorization, body } = options;
    const parts = typeof body === 'string' ? [Buffer.from(body)] : body;
    const headers = { authorization, 'content-type': 'application/json', ...options.headers };
    const response = await this.open(name, { method: 'POST', headers, parts, signal });
    const chunks: Buffer[] = [];
    let length = 0;
    for await (const chunk of response) {
      const bytes = Buffer.from(chunk);
      length += bytes.length;
      if (length > maximumAnswerBytes)
        throw new Error(`the answer to ${name} exceeds ${maximumAnswerBytes} bytes`);
      chunks.push(bytes);
    }
    return { status: response.statusCode ?? 0, body: Buffer.concat(chunks).toString('utf8') };
  }

  /** Sends a call, and answers as soon as the answer begins: its body is the caller's to read, as long as `signal` lets it. */
  open(name: string, { method, headers, parts, signal }: OpenOptions): Promise<IncomingMessage> {
    const send = this.#server.protocol === 'https:' ? requestHttps : requestHttp;
    const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
    const length = parts.reduce((sum, part) => sum + part.length, 0);
    const request = send(
      `${this.#server.href.replace(/\/$/, '')}${runnerContractPath}/${name}`,
      {
        method,
        agent: this.#agent,
        signal,
        headers: { ...headers, ...(method === 'POST' && { 'content-length': length }) },
      },
      resolve,
    );
    request.on('error', reject);
    for (const part of parts) request.write(part);
    request.end();
    return promise;
  }

  close(): void {
    this.#agent.destroy();
  }
}
