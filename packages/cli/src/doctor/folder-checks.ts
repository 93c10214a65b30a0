import { access, constants } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { chooseSandboxSize, type SizeFlags } from '../sandbox-size.ts';
import type { Finding } from './finding.ts';

/** Whether a folder can be written, or made where it is not there yet. Makes nothing. */
export async function writableFolder(check: string, folder: string, setting: string): Promise<Finding> {
  const existing = await nearestExisting(resolve(folder));
  return access(existing, constants.W_OK | constants.X_OK).then(
    () => ({ check, state: 'ok', message: `${folder} can be written` }),
    () => ({
      check,
      state: 'missing',
      message: `${existing} cannot be written by this user`,
      fix: `give it to this user, or choose another folder with ${setting}`,
    }),
  );
}

/** Whether this host has room for sandboxes of the configured size. */
export async function capacity(flags: SizeFlags, dataDirectory: string): Promise<Finding[]> {
  const check = 'Capacity';
  try {
    const { remarks } = await chooseSandboxSize(flags, await nearestExisting(resolve(dataDirectory)));
    if (remarks.length === 0) return [{ check, state: 'ok', message: 'enough for the configured sandboxes' }];
    return remarks.map((message) => ({ check, state: 'note', message }));
  } catch (error) {
    return [{ check, state: 'missing', message: error instanceof Error ? error.message : String(error) }];
  }
}

async function nearestExisting(folder: string): Promise<string> {
  const isThere = await access(folder).then(
    () => true,
    () => false,
  );
  return isThere || dirname(folder) === folder ? folder : nearestExisting(dirname(folder));
}
