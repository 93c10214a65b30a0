import { stripVTControlCharacters } from 'node:util';
import { harmlessText } from '@slipway/core';

/**
 * Text that others chose, as part of a page on a terminal: it does nothing to the terminal, has no colours that could
 * hide what follows, and where it has several lines the further ones are indented, so that none looks like the page's own.
 */
export function shown(text: string, indent = 2): string {
  const plain = stripVTControlCharacters(harmlessText(text)).replaceAll('\r', '␍');
  return plain.trimEnd().replaceAll('\n', `\n${' '.repeat(indent)}`);
}
