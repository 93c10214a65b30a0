/**
 * Finds values in JSON text without parsing and printing it again, which would lose large numbers, the order of
 * members and unknown escapes. The text must be valid JSON: `JSON.parse` it first where it comes from outside.
 */

/** A value's place in the text: from `start` to before `end`. */
export interface Span {
  readonly start: number;
  readonly end: number;
}

/** The value at `path` (names of members) within the value that begins at `start`; undefined when there is none. */
export function findValue(text: string, path: readonly string[], start = 0): Span | undefined {
  const begin = skipSpace(text, start);
  const [name, ...rest] = path;
  if (name === undefined) return { start: begin, end: endOfValue(text, begin) };
  if (text[begin] !== '{') return undefined;
  let at = skipSpace(text, begin + 1);
  while (text[at] === '"') {
    const keyEnd = endOfString(text, at);
    const value = skipSpace(text, skipSpace(text, keyEnd) + 1);
    if (JSON.parse(text.slice(at, keyEnd)) === name) return findValue(text, rest, value);
    at = skipSpace(text, endOfValue(text, value));
    if (text[at] === ',') at = skipSpace(text, at + 1);
  }
  return undefined;
}

/** The texts of the elements of the array at `path`; none when there is no array. */
export function elementsOf(text: string, path: readonly string[] = []): string[] {
  const array = findValue(text, path);
  if (!array || text[array.start] !== '[') return [];
  const elements: string[] = [];
  let at = skipSpace(text, array.start + 1);
  while (at < array.end - 1) {
    const end = endOfValue(text, at);
    elements.push(text.slice(at, end));
    at = skipSpace(text, skipSpace(text, end) + 1);
  }
  return elements;
}

/** The members of the object that begins the text, each with the text of its value. */
export function membersOf(text: string): Map<string, string> {
  const members = new Map<string, string>();
  const begin = skipSpace(text, 0);
  if (text[begin] !== '{') return members;
  let at = skipSpace(text, begin + 1);
  while (text[at] === '"') {
    const keyEnd = endOfString(text, at);
    const value = skipSpace(text, skipSpace(text, keyEnd) + 1);
    const valueEnd = endOfValue(text, value);
    members.set(String(JSON.parse(text.slice(at, keyEnd))), text.slice(value, valueEnd));
    at = skipSpace(text, valueEnd);
    if (text[at] === ',') at = skipSpace(text, at + 1);
  }
  return members;
}

/** The object with these members. */
export function objectOf(members: ReadonlyMap<string, string>): string {
  return `{${Array.from(members, ([name, value]) => `${JSON.stringify(name)}:${value}`).join(',')}}`;
}

export function skipSpace(text: string, at: number): number {
  let next = at;
  while (' \t\n\r'.includes(text[next] ?? 'x')) next += 1;
  return next;
}

/** `at` is an opening quote; answers the place behind the closing one. */
export function endOfString(text: string, at: number): number {
  let close = text.indexOf('"', at + 1);
  while (isEscaped(text, close)) close = text.indexOf('"', close + 1);
  return close + 1;
}

function isEscaped(text: string, quote: number): boolean {
  let backslashes = 0;
  while (text[quote - 1 - backslashes] === '\\') backslashes += 1;
  return backslashes % 2 === 1;
}

const structural = /["[\]{}]/g;

function endOfValue(text: string, at: number): number {
  const first = text[at];
  if (first === '"') return endOfString(text, at);
  if (first !== '{' && first !== '[') {
    let end = at;
    while (end < text.length && !',]} \t\n\r'.includes(text[end] ?? '')) end += 1;
    return end;
  }
  let depth = 0;
  structural.lastIndex = at;
  for (let match = structural.exec(text); match; match = structural.exec(text)) {
    const [character] = match;
    if (character === '"') structural.lastIndex = endOfString(text, match.index);
    else depth += character === '{' || character === '[' ? 1 : -1;
    if (depth === 0) return match.index + 1;
  }
  return text.length;
}
