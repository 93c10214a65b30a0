import { maximumHostsPerContact } from '@slipway/core';

/** Addresses whose names are kept, the newest answers. */
const maximumAddresses = 4096;
/** Refused names that are kept; further ones are counted. */
const maximumRefusedNames = 1024;
/** Questions that wait for their answer. dnsmasq has 150 under way at most. */
const maximumQuestions = 1024;

/** `<date> dnsmasq[1]: <number of the question> <asker> <what happened>` */
const event =
  /dnsmasq\[\d+\]: (?<question>\d+) \S+ (?:query\[(?<type>[^\]]*)\] (?<asked>.+) from \S+|(?<source>reply|cached|config) .+ is (?<answer>\S+))/;
const hostName = /^[a-z0-9_-]+(\.[a-z0-9_-]+)*\.?$/;
const strangeName = '(a name that is none)';

interface Question {
  readonly name: string;
  readonly type: string;
}

interface RefusedName {
  /** Look-ups by type: most clients ask for IPv4 and IPv6 at once, which is one. */
  readonly byType: Map<string, number>;
  lastAt: Date;
}

/**
 * What a sandbox looked up, out of the log of its resolver: which names led to an address, and which names it was
 * refused. What it keeps is bounded, whatever a sandbox asks.
 */
export class ResolverLog {
  readonly #refusesNames: boolean;
  readonly #questions = new Map<string, Question>();
  readonly #hosts = new Map<string, readonly string[]>();
  readonly #refused = new Map<string, RefusedName>();
  readonly #now: () => Date;
  #unlistedRefusals = 0;

  /** `refusesNames`: a name that the resolver says does not exist was refused, for it asked nobody. */
  constructor({ refusesNames, now }: { readonly refusesNames: boolean; readonly now: () => Date }) {
    this.#refusesNames = refusesNames;
    this.#now = now;
  }

  /** Takes a line of dnsmasq's log. */
  read(line: string): void {
    const { question = '', type, asked, source, answer = '' } = event.exec(line)?.groups ?? {};
    if (asked !== undefined && type !== undefined) {
      keepNewest(this.#questions, question, { name: nameOf(asked), type }, maximumQuestions);
      return;
    }
    const found = this.#questions.get(question);
    if (!found || source === undefined) return;
    if (source === 'config' && answer === 'NXDOMAIN') this.#refuse(found);
    if (/^[0-9a-f.:]+$/i.test(answer) && /[.:]/.test(answer)) this.#learn(answer, found.name);
  }

  /** The names that led to an address, the newest first. */
  hostsOf(address: string): readonly string[] {
    return this.#hosts.get(address) ?? [];
  }

  /** How often each name was refused, and when last. */
  get refusedNames(): ReadonlyMap<string, { readonly count: number; readonly lastAt: Date }> {
    return new Map(
      [...this.#refused].map(([name, { byType, lastAt }]) => [
        name,
        { count: Math.max(...byType.values()), lastAt },
      ]),
    );
  }

  /** Refusals of further names. */
  get unlistedRefusals(): number {
    return this.#unlistedRefusals;
  }

  #learn(address: string, name: string): void {
    const others = this.hostsOf(address).filter((known) => known !== name);
    keepNewest(this.#hosts, address, [name, ...others].slice(0, maximumHostsPerContact), maximumAddresses);
  }

  #refuse({ name, type }: Question): void {
    if (!this.#refusesNames) return;
    let refused = this.#refused.get(name);
    if (!refused) {
      if (this.#refused.size >= maximumRefusedNames) {
        this.#unlistedRefusals += 1;
        return;
      }
      refused = { byType: new Map(), lastAt: this.#now() };
      this.#refused.set(name, refused);
    }
    const kept = type === 'A' || type === 'AAAA' ? type : 'other';
    refused.byType.set(kept, (refused.byType.get(kept) ?? 0) + 1);
    refused.lastAt = this.#now();
  }
}

function nameOf(asked: string): string {
  const name = asked.toLowerCase();
  return name.length <= 255 && hostName.test(name) ? name.replace(/\.$/, '') : strangeName;
}

/** Sets a member and forgets the one that was set longest ago, when there are too many. */
function keepNewest<K, V>(map: Map<K, V>, key: K, value: V, most: number): void {
  map.delete(key);
  map.set(key, value);
  if (map.size > most) {
    const [oldest] = map.keys();
    if (oldest !== undefined) map.delete(oldest);
  }
}
