/** File types, as in `st_mode` and in EROFS. */
export const fileTypes = {
  file: 0o100000,
  directory: 0o040000,
  symbolicLink: 0o120000,
  characterDevice: 0o020000,
  blockDevice: 0o060000,
  fifo: 0o010000,
} as const;

/** A file, folder or whatever else has an inode. Several names may lead to one of them. Texts are Latin-1. */
export interface Inode {
  mode: number;
  userId: number;
  groupId: number;
  modifiedAt: number;
  modifiedAtNanoseconds: number;
  extendedAttributes: ReadonlyMap<string, string>;
  /** How many names lead to it. */
  links: number;
  readonly content: InodeContent;
}

export type InodeContent =
  | { readonly kind: 'directory'; readonly entries: Map<string, DirectoryEntry> }
  | { readonly kind: 'file'; readonly data: FileData }
  | { readonly kind: 'symbolic-link'; readonly target: string }
  | { readonly kind: 'device'; readonly major: number; readonly minor: number }
  | { readonly kind: 'fifo' };

export interface DirectoryEntry {
  readonly inode: Inode;
  /** Index of the layer that brought this name last. */
  readonly layer: number;
}

/** Where the bytes of a file are kept: in whole blocks of the device, or small ones one behind the other in a file. */
export interface FileData {
  readonly size: number;
  readonly place:
    | { readonly kind: 'blocks'; readonly firstBlock: number }
    | { readonly kind: 'scratch'; readonly offset: number };
}

export type DirectoryInode = Inode & { readonly content: Extract<InodeContent, { kind: 'directory' }> };

export function isDirectory(inode: Inode): inode is DirectoryInode {
  return inode.content.kind === 'directory';
}

export function newDirectory(): DirectoryInode {
  return {
    mode: fileTypes.directory | 0o755,
    ...{ userId: 0, groupId: 0, modifiedAt: 0, modifiedAtNanoseconds: 0 },
    extendedAttributes: new Map(),
    links: 1,
    content: { kind: 'directory', entries: new Map() },
  };
}
