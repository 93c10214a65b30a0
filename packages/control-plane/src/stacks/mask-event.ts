import { maskText, maskWith, type SecretPatterns } from '@slipway/core';
import { engineWordMembers, engineWords } from './engine-words.ts';
import { endOfString, skipSpace } from './raw-json.ts';

/**
 * Members of an engine event below which anything may stand (`map[string]any` in Pulumi CLI apitype/events.go). A number
 * elsewhere has to stay one, or no CLI reads the event.
 */
const freeMembers = ['inputs', 'outputs', 'config', 'before', 'after'];

/** What of JSON text matters here, outside of strings: where a string, a number, an object or a list begins or ends. */
const tokens = /["[\]{}]|-?\d[\d.eE+-]*/g;

/**
 * An engine event (JSON text) with `secrets` hidden in every string, the names of members included, but not in the
 * engine's own words, so that it can be read whatever the secrets are. A number that is a secret becomes a string, where
 * one may stand. All else stays to the letter.
 */
export function maskEvent(secrets: SecretPatterns, text: string): string {
  const parts: string[] = [];
  let copied = 0;
  const replace = (start: number, end: number, masked: string) => {
    parts.push(text.slice(copied, start), JSON.stringify(masked));
    copied = end;
  };
  /** Of each object and list around the place: whether anything may stand in it. */
  const isFree: boolean[] = [];
  let lastName = '';
  tokens.lastIndex = 0;
  for (let match = tokens.exec(text); match; match = tokens.exec(text)) {
    const [token] = match;
    if (token === '{' || token === '[') {
      isFree.push(isFree.at(-1) === true || freeMembers.includes(lastName));
      lastName = '';
    } else if (token === '}' || token === ']') {
      isFree.pop();
      lastName = '';
    } else if (token === '"') {
      const end = endOfString(text, match.index);
      const value = String(JSON.parse(text.slice(match.index, end)));
      const isName = text[skipSpace(text, end)] === ':';
      const isOfEngine = isName ? engineWords.has(value) : engineWordMembers.has(lastName);
      if (isName) lastName = value;
      const masked = isOfEngine && isFree.at(-1) !== true ? value : maskWith(secrets, value);
      if (masked !== value) replace(match.index, end, masked);
      tokens.lastIndex = end;
    } else if (isFree.at(-1) && maskWith(secrets, token) === maskText) {
      replace(match.index, match.index + token.length, maskText);
    }
  }
  return parts.join('') + text.slice(copied);
}
