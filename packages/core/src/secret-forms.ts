/** The forms in which programs print a secret. */

/** Shorter secrets are not masked: they would blank out ordinary text (a secret `1`, say). */
export const minimumSecretLength = 4;

/** A longer text is looked for in pieces of this length, so that what a stream holds back stays bounded. */
export const maximumPatternLength = 1024;

/** Shorter pieces of base64 would blank out ordinary text. */
const minimumBase64Length = 8;

/** Columns after which `base64` and `openssl base64` break their lines. */
const base64LineLengths = [76, 64];

/** Every text by which a secret can be recognised; none when it is too short to be masked. */
export function formsOfSecret(secret: string): ReadonlySet<string> {
  const forms = new Set<string>();
  for (const part of new Set([secret, ...secret.split(/\r?\n/)])) {
    const text = part.trim();
    if (text.length < minimumSecretLength) continue;
    for (const printed of [...textForms(text), ...base64Forms(text)]) {
      for (const piece of piecesOf(printed)) forms.add(piece);
    }
  }
  return forms;
}

/** How programs print a text: as is, in URLs (two dialects), in JSON (Go also escapes `<`, `>` and `&`). */
function textForms(text: string): string[] {
  const urlEncoded = encodeURIComponent(text.toWellFormed());
  const formEncoded = urlEncoded
    .replaceAll('%20', '+')
    .replace(/[!'()*]/g, (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`);
  const json = JSON.stringify(text).slice(1, -1);
  const goJson = json.replace(/[<>&]/g, (character) => `\\u00${character.charCodeAt(0).toString(16)}`);
  return [text, urlEncoded, formEncoded, json, goJson];
}

/** The characters of the base64 text that `text` alone decides, whatever stands around it, per alignment. */
function base64Forms(text: string): string[] {
  const bytes = Buffer.from(text, 'utf8');
  const cores = [0, 1, 2].map((before) => {
    const padded = Buffer.concat([Buffer.alloc(before), bytes]);
    return padded.toString('base64').slice(Math.ceil((before * 8) / 6), Math.floor((padded.length * 8) / 6));
  });
  const whole = bytes.toString('base64');
  const lines = base64LineLengths
    .filter((length) => whole.length > length)
    .flatMap((length) => whole.match(new RegExp(`.{1,${length}}`, 'g')) ?? []);
  return [...cores, ...lines]
    .filter((form) => form.length >= minimumBase64Length)
    .flatMap((form) => [form, form.replaceAll('+', '-').replaceAll('/', '_')]);
}

/** `text` in pieces of at most `maximumPatternLength` that cover all of it; none of them is a short rest. */
function piecesOf(text: string): string[] {
  if (text.length <= maximumPatternLength) return [text];
  const pieces = [text.slice(-maximumPatternLength)];
  for (let start = 0; start + maximumPatternLength < text.length; start += maximumPatternLength) {
    pieces.push(text.slice(start, start + maximumPatternLength));
  }
  return pieces;
}
