/**
 * What a file of settings says in lines of their own: `name = value` of TOML and INI, `name: value` of YAML, `name value` of
 * Yarn, `<add key="name" value="value" />` of NuGet. In sections, names have that of theirs before them. All else, such
 * as lists, is left out.
 */
export function namedValues(text: string): ReadonlyMap<string, string> {
  const values = new Map<string, string>();
  if (text.trimStart().startsWith('<')) return valuesOfXml(text);
  let section = '';
  for (const line of text.split(/\r?\n/)) {
    const [, header] = /^\s*\[+\s*([^\]\s]+)/.exec(line) ?? [];
    const [, name, value = ''] = /^\s*"?([\w.-]+)"?\s*[=:\s]\s*(.*)/s.exec(line) ?? [];
    if (header !== undefined) section = `${header}.`;
    else if (name !== undefined) values.set(section + name, withoutComment(value));
  }
  return values;
}

function withoutComment(value: string): string {
  const [, , quoted] = /^(["'])(.*?)\1/.exec(value) ?? [];
  return quoted ?? value.replace(/\s[#;].*/, '').trim();
}

function valuesOfXml(text: string): ReadonlyMap<string, string> {
  const elements = text.replace(/<!--.*?-->/gs, '').matchAll(/<add\s([^>]*)>/g);
  return new Map(
    [...elements].map(([, attributes = '']) => [
      attribute(attributes, 'key'),
      attribute(attributes, 'value'),
    ]),
  );
}

function attribute(attributes: string, name: string): string {
  return new RegExp(`\\b${name}\\s*=\\s*(["'])(.*?)\\1`).exec(attributes)?.[2] ?? '';
}
