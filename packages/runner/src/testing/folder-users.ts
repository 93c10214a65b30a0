import { readdirSync, readFileSync, readlinkSync } from 'node:fs';

/** Ids of the processes that have something below a folder open, or name it on their command line. */
export function usersOf(folder: string): number[] {
  const ids = readdirSync('/proc').filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid);
  return ids.filter((id) => uses(`/proc/${id}`, folder)).map(Number);
}

/** A process that ended meanwhile uses nothing. */
function uses(process: string, folder: string): boolean {
  try {
    if (readFileSync(`${process}/cmdline`, 'utf8').includes(folder)) return true;
    const links = [`${process}/cwd`, ...readdirSync(`${process}/fd`).map((name) => `${process}/fd/${name}`)];
    return links.some((link) => readLink(link).startsWith(folder));
  } catch {
    return false;
  }
}

function readLink(path: string): string {
  try {
    return readlinkSync(path);
  } catch {
    return '';
  }
}
