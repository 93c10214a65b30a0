import { z } from 'zod';
import { membersOf, objectOf } from './raw-json.ts';

const text = z.string().catch('');
const texts = z.array(z.string()).catch([]);

/**
 * A resource of a state (`apitype.ResourceV3`) as its members' texts: what is not changed stays to the letter, and so
 * does every member that this version does not know.
 */
export class RawResource {
  readonly #members: Map<string, string>;

  private constructor(members: Map<string, string>) {
    this.#members = members;
  }

  static parse(this: void, json: string): RawResource {
    return new RawResource(membersOf(json));
  }

  /** The same resource, to be changed by itself. */
  copy(): RawResource {
    return new RawResource(new Map(this.#members));
  }

  json(): string {
    return objectOf(this.#members);
  }

  has(name: string): boolean {
    return this.#members.has(name);
  }

  /** Whether the member is there, and neither false nor empty. */
  isSet(name: string): boolean {
    const value = this.#members.get(name)?.replaceAll(/\s/g, '') ?? 'null';
    return !['null', 'false', '""', '[]', '{}'].includes(value);
  }

  /** A member that is a string; empty where there is none. */
  text(name: string): string {
    return text.parse(this.#parsed(name));
  }

  texts(name: string): string[] {
    return texts.parse(this.#parsed(name));
  }

  /** A member whose members are lists of strings. */
  textsByName(name: string): Map<string, string[]> {
    return new Map(
      Array.from(membersOf(this.#members.get(name) ?? ''), ([key, json]) => [
        key,
        texts.parse(JSON.parse(json)),
      ]),
    );
  }

  /** Leaves the member out where the value is empty, as the CLI does (`omitempty`). */
  set(
    name: string,
    value: string | boolean | readonly string[] | ReadonlyMap<string, readonly string[]>,
  ): void {
    if (value instanceof Map) this.#write(name, value.size > 0, Object.fromEntries(value));
    else if (Array.isArray(value)) this.#write(name, value.length > 0, value);
    else this.#write(name, Boolean(value), value);
  }

  #write(name: string, isPresent: boolean, value: unknown): void {
    if (isPresent) this.#members.set(name, JSON.stringify(value));
    else this.#members.delete(name);
  }

  #parsed(name: string): unknown {
    const json = this.#members.get(name);
    return json === undefined ? undefined : JSON.parse(json);
  }
}
