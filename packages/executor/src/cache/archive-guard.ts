/** What an archive of cached folders consists of; devices, sockets and pipes are not among it. */
const packedTypes = ['File', 'OldFile', 'ContiguousFile', 'Directory', 'SymbolicLink', 'Link'];

/** As the unpacking program hands over an entry of an archive, before it is unpacked. */
interface ArchiveEntry {
  readonly type?: unknown;
  readonly linkpath?: unknown;
}

export interface ArchiveGuard {
  /** Whether this entry may be unpacked. */
  mayUnpack(path: string, entry: object): boolean;
  /** Throws when any entry was refused: the archive is not one of ours. */
  check(): void;
}

/**
 * Watches over the unpacking of an archive into an empty folder: whatever the archive says, nothing is written outside
 * of `folders` below it. Paths are plain and relative; no entry lies at or behind the place of an earlier symbolic link,
 * which might lead out; hard links obey the same.
 */
export function archiveGuard(folders: readonly string[]): ArchiveGuard {
  const links = new Set<string>();
  let objection: string | undefined;

  const objectionTo = (path: string, { type, linkpath }: ArchiveEntry): string | undefined => {
    if (typeof type !== 'string' || !packedTypes.includes(type)) return `it is of the type ${String(type)}`;
    const place = plainPath(path);
    if (place === undefined) return 'its path is not plain';
    if (!isWithin(place, folders)) return 'it lies outside of the cached folders';
    if (leadsThrough(place, links)) return 'it lies behind a symbolic link';
    if (type === 'SymbolicLink') links.add(place);
    if (type !== 'Link') return undefined;
    const target = typeof linkpath === 'string' ? plainPath(linkpath) : undefined;
    if (target === undefined || !isWithin(target, folders)) return 'it links to a file outside';
    return leadsThrough(target, links) ? 'it links to a file behind a symbolic link' : undefined;
  };

  return {
    mayUnpack: (path, entry) => {
      const found = objectionTo(path, entry);
      if (found !== undefined) objection ??= `"${path}": ${found}`;
      return found === undefined;
    },
    check: () => {
      if (objection !== undefined) throw new Error(`the archive holds what is never packed, ${objection}`);
    },
  };
}

/** A relative path without anything that leads elsewhere, and without the slash at the end of a folder's. */
function plainPath(path: string): string | undefined {
  const place = path.endsWith('/') ? path.slice(0, -1) : path;
  const isPlain = place.split('/').every((part) => part !== '' && part !== '.' && part !== '..');
  return isPlain ? place : undefined;
}

function isWithin(path: string, folders: readonly string[]): boolean {
  return folders.some((folder) => path === folder || path.startsWith(`${folder}/`));
}

function leadsThrough(path: string, links: ReadonlySet<string>): boolean {
  for (let place = path; place !== ''; place = place.slice(0, Math.max(place.lastIndexOf('/'), 0))) {
    if (links.has(place)) return true;
  }
  return false;
}
