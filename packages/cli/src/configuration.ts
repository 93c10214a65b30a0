import { readFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join, resolve } from 'node:path';
import { parse } from 'yaml';
import { z } from 'zod';

/**
 * Settings come from, in this order: the command line, `SLIPWAY_*` variables, one YAML file. The file has the long
 * options as keys (`listen: 127.0.0.1:8900`); it is `--config FILE`, `SLIPWAY_CONFIG`, or `~/.slipway/config.yaml`.
 */
const settingNames = [
  'allow-private-networks',
  'ca-file',
  'cancel-grace-seconds',
  'cpus',
  'data-dir',
  'database-url',
  'default-image',
  'insecure-http',
  'isolation',
  'listen',
  'master-key',
  'memory-mib',
  'organization',
  'pool-token',
  'public-url',
  'runners',
  'server',
  'tls-ca',
  'tls-cert',
  'tls-key',
  'volume-gib',
] as const;

const fileSchema = z.partialRecord(
  z.enum(settingNames),
  z.union([z.string(), z.number(), z.boolean(), z.array(z.string())]),
);

/** The variable that sets `name`: `data-dir` → `SLIPWAY_DATA_DIR`. */
export function variableName(name: string): string {
  return `SLIPWAY_${name.toUpperCase().replaceAll('-', '_')}`;
}

/** Reads the configuration file into variables that are not set yet, where the options' own defaults find them. */
export async function loadConfigurationFile(
  argv: readonly string[],
  environment: NodeJS.ProcessEnv,
): Promise<void> {
  const named = optionValue(argv, '--config') ?? environment[variableName('config')];
  const path = named ? resolve(named) : join(homedir(), '.slipway', 'config.yaml');
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    if (!named) return;
    throw new Error(
      `The configuration file ${path} cannot be read: ${error instanceof Error ? error.message : error}`,
    );
  }
  const parsed = fileSchema.safeParse(parse(text) ?? {});
  if (!parsed.success) {
    const issue = parsed.error.issues[0];
    throw new Error(
      `The configuration file ${path} is wrong: ${issue?.message}. Known keys: ${settingNames.join(', ')}.`,
    );
  }
  for (const name of settingNames) {
    const value = parsed.data[name];
    if (value !== undefined) environment[variableName(name)] ??= String(value);
  }
}

function optionValue(argv: readonly string[], flag: string): string | undefined {
  const joined = argv.find((argument) => argument.startsWith(`${flag}=`));
  if (joined) return joined.slice(flag.length + 1);
  const index = argv.indexOf(flag);
  return index >= 0 ? argv[index + 1] : undefined;
}

/** `host:port` as an address to listen on. */
export function parseListen(text: string): { host: string; port: number } {
  const match = /^(?:(?<host>[^:]+|\[[0-9a-fA-F:]+\]):)?(?<port>\d{1,5})$/.exec(text);
  const port = Number(match?.groups?.port ?? Number.NaN);
  if (!match || port > 65535)
    throw new Error(`"${text}" is not an address to listen on; write host:port, e.g. 127.0.0.1:8900.`);
  return { host: (match.groups?.host ?? '127.0.0.1').replace(/^\[|\]$/g, ''), port };
}
