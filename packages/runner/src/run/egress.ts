import { describeRefusals, type EgressRecord, type EgressRefusal, placeOf, remediesOf } from '@slipway/core';
import type { SandboxNetwork } from '../network/sandbox-network.ts';
import type { RunnerLog } from '../runner-options.ts';
import type { Ending } from './ending.ts';

/** Of a step: what a program prints at its end names what it could not reach. */
const keptLines = 60;
/** Times of a record are right to a second. */
const timeUncertaintyMilliseconds = 1000;
const placesInMessage = 5;

/** Failures that can follow from egress which was refused. */
const blamable: readonly (string | undefined)[] = [
  'program-error',
  'source-unavailable',
  'dependencies-failed',
];
/** Of these, the ones that are about getting something from elsewhere: not reaching it is the reason. */
const fetching: readonly (string | undefined)[] = ['source-unavailable', 'dependencies-failed'];
const unreachable =
  /could(n't| not) resolve|not known|no such host|name resolution|bad address|ENOTFOUND|EAI_AGAIN|ECONN(REFUSED|RESET)|EHOSTUNREACH|ENETUNREACH|connection (refused|reset)|couldn't connect|failed to connect|unreachable|no route to host/i;

/** Where a run goes and is not let: what its network counts, and what the step that runs said last. */
export class RunEgress {
  readonly #log: RunnerLog;
  readonly #now: () => Date;
  #record: EgressRecord | undefined;
  #stepStartedAt: Date | undefined;
  #lastLines: string[] = [];

  constructor(log: RunnerLog, now: () => Date) {
    this.#log = log;
    this.#now = now;
  }

  /** Undefined until it was read, and where it could not be. */
  get record(): EgressRecord | undefined {
    return this.#record;
  }

  stepStarts(): void {
    this.#stepStartedAt = this.#now();
    this.#lastLines = [];
  }

  /** Takes lines of the step, masked. */
  hear(lines: readonly string[]): void {
    this.#lastLines = [...this.#lastLines, ...lines.slice(-keptLines)].slice(-keptLines);
  }

  /**
   * Reads the record, once, at the end of the network: nothing can be added to it any more. `mask` hides secrets: names
   * are what the run chose. Never rejects, for what is destroyed matters more than what is told about it.
   */
  async read(network: SandboxNetwork, mask: (text: string) => string): Promise<void> {
    if (this.#record) return;
    try {
      this.#record = masked(await network.egress(), mask);
    } catch (error) {
      this.#log.warn({ err: error }, 'Where a run went could not be read');
    }
  }

  /** One line for the log; undefined when nothing was refused. */
  get line(): string | undefined {
    return this.#record && describeRefusals(this.#record);
  }

  /**
   * The ending with what its last step was refused. It becomes the cause where the step said that it could not reach
   * one of these places, or failed to get something from elsewhere; otherwise it is told as what happened besides.
   */
  blame(ending: Ending): Ending {
    const since = (this.#stepStartedAt?.getTime() ?? 0) - timeUncertaintyMilliseconds;
    const refused = (this.#record?.refused ?? []).filter(({ lastAt }) => Date.parse(lastAt) >= since);
    if (ending.outcome === 'succeeded' || !blamable.includes(ending.cause) || refused.length === 0)
      return ending;
    const said = [...this.#lastLines, ending.message ?? ''];
    const named = refused.filter((refusal) => said.some((line) => names(line, refusal)));
    const couldNotReach = fetching.includes(ending.cause) && said.some((line) => unreachable.test(line));
    const guilty = named.length > 0 ? named : couldNotReach ? refused.filter(isNoProbe) : [];
    if (guilty.length === 0) {
      const besides = `Meanwhile it was refused ${places(refused)}.`;
      return { ...ending, message: [ending.message, besides].filter((part) => part).join(' ') };
    }
    const message = [`It was refused ${places(guilty)}.`, ...remediesOf(guilty), ending.message];
    return { ...ending, cause: 'egress-refused', message: message.filter((part) => part).join(' ') };
  }
}

function masked(record: EgressRecord, mask: (text: string) => string): EgressRecord {
  const hide = <T extends { hosts: string[] }>(contact: T): T => ({
    ...contact,
    hosts: contact.hosts.map(mask),
  });
  return { ...record, contacted: record.contacted.map(hide), refused: record.refused.map(hide) };
}

function names(line: string, { hosts, address }: EgressRefusal): boolean {
  const text = line.toLowerCase();
  return [...hosts, ...(address === null ? [] : [address])].some((place) => contains(text, place));
}

/** Whether a text holds a name or address that is not a part of another: `10.0.0.1` is not in `10.0.0.12`. */
function contains(text: string, place: string): boolean {
  for (let at = text.indexOf(place); at >= 0; at = text.indexOf(place, at + 1)) {
    const around = `${text[at - 1] ?? ' '}${text[at + place.length] ?? ' '}`;
    if (!/[a-z0-9-]/.test(around)) return true;
  }
  return false;
}

/** Libraries of clouds look for credentials at metadata services by themselves, and go on without. */
function isNoProbe({ reason }: EgressRefusal): boolean {
  return reason !== 'metadata';
}

function places(refused: readonly EgressRefusal[]): string {
  const named = refused.slice(0, placesInMessage).map(placeOf).join(', ');
  return refused.length > placesInMessage ? `${named} and ${refused.length - placesInMessage} more` : named;
}
