import { stripVTControlCharacters } from 'node:util';
import { harmlessText, withoutDirections } from '@slipway/core';

/**
 * Text that others chose, as part of a page on a terminal: it does nothing to the terminal, has no colours that could
 * hide what follows and nothing that turns its order, and where it has several lines the further ones are indented, so
 * that none looks like the page's own.
 */
export function shown(text: string, indent: number): string {
  const plain = stripVTControlCharacters(withoutDirections(harmlessText(text))).replaceAll('\r', '␍');
  return plain.trimEnd().replaceAll('\n', `\n${' '.repeat(indent)}`);
}

/** The same of what is a line, or less, of the page. */
export function shownLine(text: string): string {
  return shown(text, 0).replaceAll(/\s+/g, ' ');
}
