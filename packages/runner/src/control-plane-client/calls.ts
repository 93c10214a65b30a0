import {
  type ClaimRequest,
  type ClaimResponse,
  claimResponse,
  type FinishRequest,
  type ImagesRequest,
  type ImagesResponse,
  imageCredentialsResponse,
  imagesResponse,
  type Job,
  jobResponse,
  type RegisterRequest,
  type RegisterResponse,
  type RunCallResponse,
  registerResponse,
  runCallResponse,
  type SandboxFacts,
  type StepReport,
  type UsageReport,
} from '@slipway/core';
import * as z from 'zod';
import type { Answer, CallOptions, Connection } from './connection.ts';
import { CallRefused, ControlPlaneUnavailable, Fenced } from './failures.ts';

const callTimeoutMilliseconds = 10_000;
/** An attempt to renew must fail early enough for several more within one lease. */
const heartbeatTimeoutMilliseconds = 4_000;

const logOpening = Buffer.from('{"lines":[');
const logClosing = Buffer.from(']}');

/** The calls that the pool token opens. */
export class PoolCalls {
  readonly #connection: Connection;
  readonly #authorization: string;

  constructor(connection: Connection, poolToken: string) {
    this.#connection = connection;
    this.#authorization = `token ${poolToken}`;
  }

  /** Makes this runner known to its pool. */
  register(request: RegisterRequest, signal: AbortSignal): Promise<RegisterResponse> {
    return this.#call('register', request, registerResponse, { signal });
  }

  /** Waits for a run; undefined when none came. Repeat it with the same nonce when the answer was lost. */
  async claim(request: ClaimRequest, signal: AbortSignal): Promise<ClaimResponse | undefined> {
    const timeoutMilliseconds = request.waitSeconds * 1000 + callTimeoutMilliseconds;
    return this.#call('claim', request, claimResponse.optional(), { signal, timeoutMilliseconds });
  }

  /** Waits for other images to prepare than those of the known revision; undefined when they are still the same. */
  async images(request: ImagesRequest, signal: AbortSignal): Promise<ImagesResponse | undefined> {
    const timeoutMilliseconds = request.waitSeconds * 1000 + callTimeoutMilliseconds;
    return this.#call('images', request, imagesResponse.optional(), { signal, timeoutMilliseconds });
  }

  #call<T>(name: string, body: object, schema: z.ZodType<T>, options: Partial<CallOptions>): Promise<T> {
    return call(this.#connection, name, schema, {
      authorization: this.#authorization,
      body: JSON.stringify(body),
      timeoutMilliseconds: callTimeoutMilliseconds,
      ...options,
    });
  }
}

/** The calls about one run, with its lease token. All may be repeated. They reject with `Fenced` once it is another's. */
export class RunCalls {
  readonly #connection: Connection;
  readonly #authorization: string;

  constructor(connection: Connection, leaseToken: string) {
    this.#connection = connection;
    this.#authorization = `lease ${leaseToken}`;
  }

  heartbeat(): Promise<RunCallResponse> {
    return this.#call('heartbeat', '{}', runCallResponse, heartbeatTimeoutMilliseconds);
  }

  /** How to log in to the registry of the run's image. */
  imageCredentials(): Promise<z.infer<typeof imageCredentialsResponse>> {
    return this.#call('image-credentials', '{}', imageCredentialsResponse);
  }

  /** The job with its secrets. From the answer on the run counts as running. */
  async job(): Promise<Job> {
    return (await this.#call('job', '{}', jobResponse)).job;
  }

  /** `lines`: JSON texts of chunks, with commas between them. They are sent as they are, without a copy. */
  log(lines: Buffer): Promise<RunCallResponse> {
    return this.#call('log', [logOpening, lines, logClosing], runCallResponse);
  }

  steps(steps: readonly StepReport[], sandbox: SandboxFacts | undefined): Promise<RunCallResponse> {
    return this.#call('steps', JSON.stringify({ steps, sandbox }), runCallResponse);
  }

  usage(report: UsageReport): Promise<RunCallResponse> {
    return this.#call('usage', JSON.stringify(report), runCallResponse);
  }

  async finish(request: FinishRequest): Promise<void> {
    await this.#call('finish', JSON.stringify(request), z.unknown());
  }

  #call<T>(
    name: string,
    body: string | readonly Buffer[],
    schema: z.ZodType<T>,
    timeoutMilliseconds = callTimeoutMilliseconds,
  ): Promise<T> {
    const authorization = this.#authorization;
    return call(this.#connection, name, schema, { authorization, body, timeoutMilliseconds });
  }
}

/**
 * What is left to say about a run whose runner was lost, with the delivery token of its claim. All may be repeated. They
 * reject with `Fenced` when nobody waits for it.
 */
export class DeliveryCalls {
  readonly #connection: Connection;
  readonly #authorization: string;

  constructor(connection: Connection, deliveryToken: string) {
    this.#connection = connection;
    this.#authorization = `delivery ${deliveryToken}`;
  }

  /** `lines`: as for `log`. */
  lateLog(lines: Buffer): Promise<void> {
    return this.#call('late-log', [logOpening, lines, logClosing]);
  }

  /** The sandbox is gone, and all lines were delivered. */
  lost(): Promise<void> {
    return this.#call('lost', '{}');
  }

  async #call(name: string, body: string | readonly Buffer[]): Promise<void> {
    const timeoutMilliseconds = callTimeoutMilliseconds;
    await call(this.#connection, name, z.unknown(), {
      ...{ authorization: this.#authorization, body, timeoutMilliseconds },
    });
  }
}

/** One call of the contract, whose answer has to fit `schema`. Rejects with one of `failures.ts`. */
export async function call<T>(
  connection: Connection,
  name: string,
  schema: z.ZodType<T>,
  options: CallOptions,
): Promise<T> {
  let answer: Answer;
  try {
    answer = await connection.post(name, options);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new ControlPlaneUnavailable(`The control plane did not answer "${name}": ${reason}`, {
      cause: error,
    });
  }
  if (answer.status < 200 || answer.status > 299) throw failureOf(name, answer);
  const parsed = schema.safeParse(answer.body === '' ? undefined : parseJson(answer.body));
  if (parsed.success) return parsed.data;
  throw new ControlPlaneUnavailable(
    `The control plane answered "${name}" with something that is not of the runner contract: ${parsed.error.issues[0]?.message}`,
  );
}

export function failureOf(name: string, { status, body }: Answer): Error {
  const parsed = z.object({ message: z.string() }).safeParse(parseJson(body));
  const message = parsed.success ? parsed.data.message : body.slice(0, 200);
  if (status === 409) return new Fenced(name, message);
  const mayPass = status >= 500 || status === 408 || status === 429 || status < 400;
  return mayPass
    ? new ControlPlaneUnavailable(`The control plane answered "${name}" with ${status}: ${message}`)
    : new CallRefused(name, status, message);
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
