import { parse } from 'yaml';
import * as z from 'zod';

const scalar = z.union([z.string(), z.number(), z.boolean()]);
const settings = z.record(z.string(), z.union([scalar, z.array(scalar)]));

/** Reads the text of a configuration file into values as the command line has them. Throws an `Error` for the user. */
export function parseConfiguration(
  path: string,
  text: string,
  known: ReadonlySet<string>,
): Record<string, string> {
  const parsed = settings.safeParse(parseYaml(path, text) ?? {});
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    const where = issue?.path.length ? `the value of ${issue.path.join('.')} is not` : 'it is not';
    throw new Error(
      `The configuration file ${path} is wrong: ${where} what it should be; write one setting a line, e.g. listen: 127.0.0.1:8900.`,
    );
  }
  const unknown = Object.keys(parsed.data).find((key) => !known.has(key));
  if (unknown !== undefined) {
    throw new Error(
      `The configuration file ${path} has a key that is no setting: ${unknown}. Known keys: ${[...known].sort().join(', ')}.`,
    );
  }
  return Object.fromEntries(Object.entries(parsed.data).map(([key, value]) => [key, String(value)]));
}

function parseYaml(path: string, text: string): unknown {
  try {
    return parse(text);
  } catch (error) {
    throw new Error(
      `The configuration file ${path} is not YAML: ${error instanceof Error ? error.message : error}`,
      { cause: error },
    );
  }
}
