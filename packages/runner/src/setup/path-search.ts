import { access, constants } from 'node:fs/promises';
import { delimiter, isAbsolute, join } from 'node:path';

/** The environment of tools like `nft` and `mke2fs`, which Debian keeps where a user's PATH does not lead. */
export function environmentOfSystemTools(): NodeJS.ProcessEnv {
  return { PATH: `${process.env.PATH ?? ''}:/usr/sbin:/sbin` };
}

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
