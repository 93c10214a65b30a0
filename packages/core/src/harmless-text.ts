/** All control characters of Unicode, but for the tab, the line feed and the carriage return. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: these are what it looks for
const controls = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f]/;
/** The same, and before them what only says how text looks: colours, bold and the like (ECMA-48, SGR). */
// biome-ignore lint/suspicious/noControlCharactersInRegex: these are what it looks for
const looksOrControl = /\u001b\[[0-9;:]{0,64}m|[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f]/g;

const delete_ = 0x7f;
const controlPictures = 0x2400;
const pictureOfDelete = 0x2421;

/**
 * Text that came out of a sandbox, as it may be shown on a terminal: colours stay, and all else that would do something to
 * a terminal (move its cursor, set its title, fill its clipboard, have it answer as if its user had typed) becomes a
 * picture of itself, such as `␛`. No U+0000 is in it, which PostgreSQL refuses.
 */
export function harmlessText(text: string): string {
  if (!controls.test(text)) return text;
  return text.replaceAll(looksOrControl, (found) =>
    found.length > 1 ? found : pictureOf(found.charCodeAt(0)),
  );
}

/** Marks that turn the order of the text around them. */
const directions = /[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/g;

/** Text in the order in which it is written. */
export function withoutDirections(text: string): string {
  return text.replaceAll(directions, '\uFFFD');
}

/** A sentence that came from elsewhere, for the middle of our own text: one line, without colours, cut to a length. */
export function harmlessLine(text: string, maximumCharacters: number): string {
  return withoutDirections(harmlessText(text.slice(0, maximumCharacters * 2)))
    .replaceAll('\u001b', '␛')
    .replaceAll(/\s+/g, ' ')
    .trim()
    .slice(0, maximumCharacters)
    .toWellFormed();
}

function pictureOf(code: number): string {
  if (code === 0 || code > delete_) return '\uFFFD';
  return String.fromCharCode(code === delete_ ? pictureOfDelete : controlPictures + code);
}
