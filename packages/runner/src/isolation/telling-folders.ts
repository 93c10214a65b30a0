/** A folder of a volume, with everything below it. */
export interface Folder {
  /** As a process in the sandbox names it. */
  readonly path: string;
  readonly bytes: number;
  readonly files: number;
}

/** A folder that owes this much to one folder below it is told by that one. */
const dominantShare = 0.8;
/** Less than this of the largest is not worth a word. */
const shareWorthTelling = 0.05;
const mostTold = 5;

/**
 * The folders that tell best what a volume was filled with, the largest first. None lies in another: one that is large
 * because of a folder in it gives way to that, and otherwise stands for all below it.
 */
export function tellingFolders(folders: readonly Folder[], by: 'bytes' | 'files'): readonly Folder[] {
  const top = folders.filter(({ path }) => path.lastIndexOf('/') === 0);
  const told = top.map((folder) => mostPrecise(folder, folders, by)).sort((a, b) => b[by] - a[by]);
  const least = (told[0]?.[by] ?? 0) * shareWorthTelling;
  return told.filter((folder) => folder[by] > 0 && folder[by] >= least).slice(0, mostTold);
}

function mostPrecise(folder: Folder, folders: readonly Folder[], by: 'bytes' | 'files'): Folder {
  const inside = folders.filter(
    ({ path }) => path.startsWith(`${folder.path}/`) && path.lastIndexOf('/') === folder.path.length,
  );
  const dominant = inside.find((each) => each[by] >= folder[by] * dominantShare);
  return dominant ? mostPrecise(dominant, folders, by) : folder;
}
