import { access, constants } from 'node:fs/promises';
import { delimiter, isAbsolute, join } from 'node:path';

/** The program of that name on this process's PATH. */
export async function findOnPath(name: string): Promise<string | undefined> {
  for (const folder of (process.env.PATH ?? '').split(delimiter)) {
    const path = join(folder, name);
    const isExecutable =
      isAbsolute(folder) &&
      (await access(path, constants.X_OK).then(
        () => true,
        () => false,
      ));
    if (isExecutable) return path;
  }
  return undefined;
}
