import { Agent as HttpAgent, request as requestHttp } from 'node:http';
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
  post(name: string, options: CallOptions): Promise<Answer> {
    const signal = AbortSignal.any([
      AbortSignal.timeout(options.timeoutMilliseconds),
      ...(options.signal ? [options.signal] : []),
    ]);
    const send = this.#server.protocol === 'https:' ? requestHttps : requestHttp;
    const parts = typeof options.body === 'string' ? [Buffer.from(options.body)] : options.body;
    const { promise, resolve, reject } = Promise.withResolvers<Answer>();
    const request = send(
      `${this.#server.href.replace(/\/$/, '')}${runnerContractPath}/${name}`,
      {
        method: 'POST',
        agent: this.#agent,
        signal,
        headers: {
          authorization: options.authorization,
          'content-type': 'application/json',
          'content-length': parts.reduce((length, part) => length + part.length, 0),
        },
      },
      (response) => {
        const chunks: Buffer[] = [];
        let length = 0;
        response.on('data', (chunk: Buffer) => {
          length += chunk.length;
          if (length > maximumAnswerBytes) {
            response.destroy(new Error(`the answer to ${name} exceeds ${maximumAnswerBytes} bytes`));
          } else chunks.push(chunk);
        });
        response.on('error', reject);
        response.on('end', () =>
          resolve({ status: response.statusCode ?? 0, body: Buffer.concat(chunks).toString('utf8') }),
        );
      },
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
