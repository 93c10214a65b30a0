import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import * as z from 'zod';

/** How a command finds the control plane, and in whose name it speaks. */
export interface ApiFlags {
  url: string;
  dataDir: string;
}

const errorBody = z.object({ message: z.string() });

/** The control plane's REST API, for commands. Every failure is an `Error` that names the call and what to do. */
export class ApiClient {
  readonly #url: string;
  readonly #token: string;

  private constructor(url: string, token: string) {
    this.#url = url;
    this.#token = token;
  }

  /** With the token of `PULUMI_ACCESS_TOKEN`, or the administrator's on the control plane's own host. */
  static async open({ url, dataDir }: ApiFlags, environment: NodeJS.ProcessEnv): Promise<ApiClient> {
    const path = join(dataDir, 'admin-token');
    const token =
      environment.PULUMI_ACCESS_TOKEN || (await readFile(path, 'utf8').catch(() => undefined))?.trim();
    if (!token) {
      throw new Error(
        `There is no access token: set PULUMI_ACCESS_TOKEN, or name the data directory of the control plane with --data-dir (${path} is not there).`,
      );
    }
    return new ApiClient(url.replace(/\/+$/, ''), token);
  }

  async call<T>(answer: z.ZodType<T>, method: string, path: string, body?: object): Promise<T> {
    const response = await this.#fetch(method, path, body);
    const text = await response.text();
    if (!response.ok) {
      const parsed = errorBody.safeParse(parseJson(text));
      throw new Error(parsed.success ? parsed.data.message : `${method} ${path}: ${response.status} ${text}`);
    }
    return answer.parse(parseJson(text));
  }

  async #fetch(method: string, path: string, body?: object): Promise<Response> {
    try {
      return await fetch(this.#url + path, {
        method,
        headers: { authorization: `token ${this.#token}`, 'content-type': 'application/json' },
        ...(body && { body: JSON.stringify(body) }),
      });
    } catch (error) {
      const cause = error instanceof Error && error.cause instanceof Error ? error.cause.message : error;
      throw new Error(
        `The control plane at ${this.#url} does not answer (${cause}): start it with \`slipway up\`, or give its URL with --url.`,
        { cause: error },
      );
    }
  }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
