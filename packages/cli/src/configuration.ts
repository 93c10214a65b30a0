import { readFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join, resolve } from 'node:path';
import { type Command, InvalidArgumentError, type Option } from 'commander';

/** The variable that sets `name`: `data-dir` → `SLIPWAY_DATA_DIR`. */
export function variableName(name: string): string {
  return `SLIPWAY_${name.toUpperCase().replaceAll('-', '_')}`;
}

/**
 * Settings come from, in this order: the command line, `SLIPWAY_*` variables, one YAML file. The file has the long
 * options as keys (`listen: 127.0.0.1:8900`); it is `--config FILE`, `SLIPWAY_CONFIG`, or `~/.slipway/config.yaml`.
 *
 * Gives `command`, which is about to be parsed, what the file says of its options. One file may hold the settings of
 * all commands; a key that none of them knows is refused.
 */
export async function applyConfigurationFile(
  program: Command,
  command: Command,
  environment: NodeJS.ProcessEnv,
): Promise<void> {
  const named: string | undefined = program.opts().config ?? environment[variableName('config')];
  const path = named ? resolve(named) : join(homedir(), '.slipway', 'config.yaml');
  const text = await readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (!named && error.code === 'ENOENT') return undefined;
    throw new Error(`The configuration file ${path} cannot be read: ${error.message}`);
  });
  if (text === undefined) return;
  const { parseConfiguration } = await import('./configuration-file.ts');
  const known = program.commands.flatMap(({ options }) => options).filter(isSetting);
  const values = parseConfiguration(path, text, new Set(known.map((option) => option.name())));
  for (const option of command.options) {
    const value = values[option.name()];
    if (value === undefined) continue;
    command.setOptionValueWithSource(option.attributeName(), readValue(path, option, value), 'config');
  }
}

/** Whether an option can also be set by a variable or in the configuration file. */
function isSetting(option: Option): boolean {
  return option.envVar !== undefined;
}

function readValue(path: string, option: Option, value: string): unknown {
  const wrong = (why: string) =>
    new Error(`In the configuration file ${path}, ${option.name()} is wrong: "${value}". ${why}`);
  if (option.isBoolean()) {
    const meant = readBoolean(value);
    if (meant === undefined) throw wrong('It must be true or false.');
    return meant;
  }
  try {
    return option.parseArg ? option.parseArg(value, undefined) : value;
  } catch (error) {
    throw error instanceof InvalidArgumentError ? wrong(error.message) : error;
  }
}

/**
 * Takes variables away that say no (`SLIPWAY_INSECURE_HTTP=false`): commander takes a flag for set as soon as its
 * variable is there, whatever it says.
 */
export function dropNegativeVariables(command: Command, environment: NodeJS.ProcessEnv): void {
  for (const { envVar } of command.options.filter((option) => isSetting(option) && option.isBoolean())) {
    const text = envVar === undefined ? undefined : environment[envVar];
    if (envVar === undefined || text === undefined) continue;
    const meant = readBoolean(text);
    if (meant === undefined) throw new Error(`${envVar} is wrong: "${text}". It must be true or false.`);
    if (!meant) delete environment[envVar];
  }
}

function readBoolean(text: string): boolean | undefined {
  if (['true', 'yes', '1'].includes(text.toLowerCase())) return true;
  return ['false', 'no', '0', ''].includes(text.toLowerCase()) ? false : undefined;
}
