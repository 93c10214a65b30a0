/**
 * What a file of settings says in lines of their own: `name = value` of TOML and INI, `name: value` of YAML, `name value` of
 * Yarn, `<add key="name" value="value" />` of NuGet. In sections, names have that of theirs before them. All else, such
 * as lists, is left out. `normalized` makes names one that are one to the tool.
 */
export function namedValues(
  text: string,
  normalized = (name: string): string => name,
): ReadonlyMap<string, string> {
  const values = new Map<string, string>();
  if (text.trimStart().startsWith('<')) return valuesOfXml(text);
  let section = '';
  for (const line of text.split(/\r?\n/)) {
    const [, header] = /^\s*\[+\s*([^\]\s]+)/.exec(line) ?? [];
    const [, name, value = ''] = /^\s*"?([\w.-]+)"?\s*[=:\s]\s*(.*)/s.exec(line) ?? [];
    if (header !== undefined) section = `${header}.`;
    else if (name !== undefined) values.set(normalized(section + name), withoutComment(value));
  }
  return values;
}

function withoutComment(value: string): string {
  const [, , quoted] = /^(["'])(.*?)\1/.exec(value) ?? [];
  return quoted ?? value.replace(/\s[#;].*/, '').trim();
}

function valuesOfXml(text: string): ReadonlyMap<string, string> {
  const elements = [...elementsOf(text)].filter((element) => /^add\s/.test(element));
  return new Map(elements.map((element) => [attribute(element, 'key'), attribute(element, 'value')]));
}

/** What stands between `<` and `>`, but for comments. One pass, whatever is not closed: strangers write such files. */
function* elementsOf(text: string): Generator<string> {
  for (let start = text.indexOf('<'); start >= 0; ) {
    const [opening, closing] = text.startsWith('<!--', start) ? ['<!--', '-->'] : ['<', '>'];
    const end = text.indexOf(closing, start + opening.length);
    if (end < 0) return;
    if (closing === '>') yield text.slice(start + 1, end);
    start = text.indexOf('<', end);
  }
}

function attribute(attributes: string, name: string): string {
  return new RegExp(`\\b${name}\\s*=\\s*(["'])(.*?)\\1`).exec(attributes)?.[2] ?? '';
}
