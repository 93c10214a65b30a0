import { randomUUID } from 'node:crypto';
import { existsSync } from 'node:fs';
import { readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

/** `<process>-<random>.work`: files that are not entries yet. */
const workFile = /^(\d+)-[0-9a-f-]{36}\.work$/;

/** An empty file that is swept away should this process end without having used it. */
export async function newWorkFile(folder: string): Promise<string> {
  const path = join(folder, `${process.pid}-${randomUUID()}.work`);
  await writeFile(path, '', { flag: 'wx', mode: 0o600 });
  return path;
}

/** Removes the files of processes that are gone. */
export async function sweepWorkFiles(folder: string): Promise<void> {
  for (const name of await readdir(folder)) {
    const [, processId] = workFile.exec(name) ?? [];
    if (processId === undefined || existsSync(`/proc/${processId}`)) continue;
    await rm(join(folder, name), { force: true });
  }
}
