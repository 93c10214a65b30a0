/** Name of the member by which Pulumi marks what an object is (an asset, an output); its value is no secret. */
const signatureName = '4dabf18193072939515e22adb298388d';

/** Further down nothing is looked at by itself: it is hidden as a part of the whole. */
const maximumDepth = 64;

/**
 * The texts that must be hidden of a plaintext that the CLI has had encrypted: a value of the configuration as it is, or
 * a property of the state in JSON. Of a document it is the whole, and each string and number in it, also where a string
 * holds a document in turn; not the names of members, nor `true`, `false` and `null`, which tell nothing.
 */
export function secretTexts(plaintext: string): ReadonlySet<string> {
  const texts = new Set<string>();
  addText(texts, plaintext, 0);
  return texts;
}

function addText(texts: Set<string>, text: string, depth: number): void {
  const value = parsed(text);
  const isText = typeof value !== 'string' && typeof value !== 'boolean' && value !== null;
  if (isText) texts.add(text);
  addValue(texts, value, depth);
}

function addValue(texts: Set<string>, value: unknown, depth: number): void {
  if (depth > maximumDepth) return;
  if (typeof value === 'number') texts.add(String(value));
  else if (typeof value === 'string') addText(texts, value, depth + 1);
  else if (typeof value === 'object' && value !== null) {
    for (const [name, member] of Object.entries(value)) {
      if (name !== signatureName) addValue(texts, member, depth + 1);
    }
  }
}

/** Undefined for what is no JSON. */
function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
