import { constants, existsSync } from 'node:fs';
import { open } from 'node:fs/promises';
import type { Environment } from './environment.ts';

const maximumFileBytes = 1024 * 1024;
const assignment = /^([A-Za-z_][A-Za-z0-9_]*)=(.*)$/;

export interface EnvironmentFile {
  readonly variables: Environment;
  /** Numbers of the lines that are not `NAME=value`, from 1. */
  readonly ignoredLines: readonly number[];
}

/**
 * Reads the variables that earlier steps left in `path`, one `NAME=value` a line; of two lines with one name the later
 * counts. Null when there is no such regular file, or it is empty. Only the first MiB is read.
 */
export async function readEnvironmentFile(path: string): Promise<EnvironmentFile | null> {
  const text = await readBeginning(path);
  if (text.trim() === '') return null;
  const variables: Record<string, string> = {};
  const ignoredLines: number[] = [];
  for (const [index, line] of text.split(/\r?\n/).entries()) {
    const [, name, value] = assignment.exec(line) ?? [];
    if (name !== undefined && value !== undefined) variables[name] = value;
    else if (line.trim() !== '') ignoredLines.push(index + 1);
  }
  return { variables, ignoredLines };
}

async function readBeginning(path: string): Promise<string> {
  if (!existsSync(path)) return '';
  // A pipe may have nobody at its other end.
  await using file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
  if (!(await file.stat()).isFile()) return '';
  const { bytesRead, buffer } = await file.read(Buffer.alloc(maximumFileBytes), 0, maximumFileBytes, 0);
  return buffer.toString('utf8', 0, bytesRead);
}
