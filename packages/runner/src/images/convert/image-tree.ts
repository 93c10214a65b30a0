import type { FileStore } from './file-store.ts';
import {
  type DirectoryEntry,
  type DirectoryInode,
  fileTypes,
  type Inode,
  type InodeContent,
  isDirectory,
  newDirectory,
} from './inode.ts';
import { ImageRefused, type Meter } from './limits.ts';
import { type EntryContent, shown, type TarEntry } from './tar-entries.ts';

const whiteoutPrefix = '.wh.';
const opaqueWhiteout = '.wh..wh..opq';
/** As the kernel's own limits. */
const maximumNameBytes = 255;
const maximumPathBytes = 4096;
const maximumLinks = 40;

/**
 * The root file system of an image: its layers, laid one over the other by the rules of the OCI image specification
 * (layer.md). Paths are resolved within it, so that no link leads out of it.
 */
export class ImageTree {
  readonly root: DirectoryInode = newDirectory();
  readonly #files: FileStore;
  readonly #meter: Meter;

  constructor(files: FileStore, meter: Meter) {
    this.#files = files;
    this.#meter = meter;
  }

  /** Adds an entry of a layer; layers come in their order. */
  async apply(layer: number, entry: TarEntry, content: EntryContent): Promise<void> {
    this.#meter.countEntry(metadataBytes(entry));
    const path = componentsOf(entry.name);
    const name = path.pop();
    if (name === undefined) {
      if (entry.kind !== 'directory') throw new ImageRefused('one of its layers puts a file at its root.');
      setMetadata(this.root, entry);
      return;
    }
    if (name.startsWith(whiteoutPrefix)) {
      const folder = this.#resolve(path, undefined);
      if (folder && isDirectory(folder)) this.#hideLower(folder, name, layer);
      return;
    }
    const { entries } = this.#makeDirectory(path, layer, entry.name).content;
    const present = entries.get(name);
    if (entry.kind === 'directory' && present && isDirectory(present.inode)) {
      setMetadata(present.inode, entry);
      entries.set(name, { inode: present.inode, layer });
      return;
    }
    if (entry.kind === 'hard-link') {
      const target = this.#linkTarget(entry);
      if (target === present?.inode) return;
      target.links += 1;
      if (present) this.#drop(present);
      entries.set(name, { inode: target, layer });
      return;
    }
    // First, so that what replaces it can have its place.
    if (present) this.#drop(present);
    entries.delete(name);
    const inode = await this.#newInode(entry, content);
    entries.set(name, { inode, layer });
  }

  /** What a path leads to, links followed; undefined when there is nothing. */
  find(path: string): Inode | undefined {
    return this.#resolve(componentsOf(path), undefined);
  }

  /** The first bytes of a file at a path; undefined when there is no file. */
  readFile(path: string, maximumBytes: number): Buffer | undefined {
    const content = this.find(path)?.content;
    return content?.kind === 'file' ? this.#files.read(content.data, maximumBytes) : undefined;
  }

  async #newInode(entry: TarEntry, content: EntryContent): Promise<Inode> {
    const inode: Inode = {
      ...{ mode: 0, userId: 0, groupId: 0, modifiedAt: 0, modifiedAtNanoseconds: 0 },
      extendedAttributes: new Map(),
      links: 1,
      content: await this.#contentOf(entry, content),
    };
    setMetadata(inode, entry);
    return inode;
  }

  async #contentOf(entry: TarEntry, content: EntryContent): Promise<InodeContent> {
    switch (entry.kind) {
      case 'file':
        return { kind: 'file', data: await this.#files.add(entry.size, content) };
      case 'directory':
        return { kind: 'directory', entries: new Map() };
      case 'symbolic-link':
        return { kind: 'symbolic-link', target: checkedTarget(entry) };
      case 'character-device':
      case 'block-device':
        return { kind: 'device', major: entry.deviceMajor, minor: entry.deviceMinor };
      case 'fifo':
        return { kind: 'fifo' };
      case 'hard-link':
        throw new Error('a hard link has no content of its own');
    }
  }

  #linkTarget(entry: TarEntry): Inode {
    const path = componentsOf(entry.linkName);
    const name = path.pop();
    const folder = this.#resolve(path, undefined);
    const found =
      name !== undefined && folder && isDirectory(folder)
        ? folder.content.entries.get(name)?.inode
        : undefined;
    if (found && !isDirectory(found)) return found;
    throw new ImageRefused(
      `its entry ${shown(entry.name)} is a hard link to ${shown(entry.linkName)}, which is no file of the image.`,
    );
  }

  /** The folder at a path, made where it is missing; all folders on the way count as the layer's own. */
  #makeDirectory(path: string[], layer: number, entryName: string): DirectoryInode {
    const found = this.#resolve(path, layer);
    if (found && isDirectory(found)) return found;
    throw new ImageRefused(`its entry ${shown(entryName)} lies below something that is no folder.`);
  }

  /** What a path leads to, links followed. With a layer, folders are made where they are missing. */
  #resolve(path: readonly string[], makeInLayer: number | undefined): Inode | undefined {
    const remaining = [...path].reverse();
    const folders: DirectoryInode[] = [this.root];
    let links = 0;
    for (let name = remaining.pop(); name !== undefined; name = remaining.pop()) {
      const folder = folders.at(-1) ?? this.root;
      if (name === '..') {
        if (folders.length > 1) folders.pop();
        continue;
      }
      const child = folder.content.entries.get(name)?.inode;
      if (child === undefined) {
        if (makeInLayer === undefined) return undefined;
        this.#meter.countEntry(name.length);
        const made = newDirectory();
        folder.content.entries.set(name, { inode: made, layer: makeInLayer });
        folders.push(made);
      } else if (isDirectory(child)) {
        if (makeInLayer !== undefined) folder.content.entries.set(name, { inode: child, layer: makeInLayer });
        folders.push(child);
      } else if (child.content.kind === 'symbolic-link') {
        links += 1;
        if (links > maximumLinks) return undefined;
        const { target } = child.content;
        if (target.startsWith('/')) folders.length = 1;
        remaining.push(...rawComponents(target).reverse());
      } else {
        return remaining.length === 0 ? child : undefined;
      }
    }
    return folders.at(-1);
  }

  /** A whiteout hides what lower layers have, and nothing of its own layer. */
  #hideLower(folder: DirectoryInode, whiteout: string, layer: number): void {
    if (whiteout === opaqueWhiteout) {
      this.#removeLower(folder, layer);
      return;
    }
    // `.wh..wh.…` belongs to other storage drivers, and hides a name that no layer has.
    const name = whiteout.slice(whiteoutPrefix.length);
    const present = folder.content.entries.get(name);
    if (!present) return;
    if (present.layer < layer) {
      this.#drop(present);
      folder.content.entries.delete(name);
    } else if (isDirectory(present.inode)) this.#removeLower(present.inode, layer);
  }

  #removeLower(folder: DirectoryInode, layer: number): void {
    for (const [name, entry] of folder.content.entries) {
      if (entry.layer < layer) {
        this.#drop(entry);
        folder.content.entries.delete(name);
      } else if (isDirectory(entry.inode)) this.#removeLower(entry.inode, layer);
    }
  }

  /** A name is gone; with its last name goes what it leads to. */
  #drop({ inode }: DirectoryEntry): void {
    inode.links -= 1;
    if (inode.links > 0) return;
    if (isDirectory(inode)) for (const entry of inode.content.entries.values()) this.#drop(entry);
    if (inode.content.kind === 'file') this.#files.remove(inode.content.data);
  }
}

const typeBits: Readonly<Record<Exclude<TarEntry['kind'], 'hard-link'>, number>> = {
  file: fileTypes.file,
  directory: fileTypes.directory,
  'symbolic-link': fileTypes.symbolicLink,
  'character-device': fileTypes.characterDevice,
  'block-device': fileTypes.blockDevice,
  fifo: fileTypes.fifo,
};

function setMetadata(inode: Inode, entry: TarEntry): void {
  inode.mode = modeOf(entry);
  inode.userId = entry.userId;
  inode.groupId = entry.groupId;
  inode.modifiedAt = entry.modifiedAt;
  inode.modifiedAtNanoseconds = entry.modifiedAtNanoseconds;
  inode.extendedAttributes = entry.extendedAttributes;
}

/** Links are open to everybody; what archives say of their permissions counts for nothing. */
function modeOf({ kind, mode }: TarEntry): number {
  if (kind === 'hard-link') throw new Error('a hard link has no mode of its own');
  return typeBits[kind] | (kind === 'symbolic-link' ? 0o777 : mode);
}

function metadataBytes({ name, linkName, extendedAttributes }: TarEntry): number {
  let bytes = name.length + linkName.length;
  for (const [attribute, value] of extendedAttributes) bytes += attribute.length + value.length;
  return bytes;
}

function checkedTarget({ name, linkName }: TarEntry): string {
  if (linkName !== '' && linkName.length < maximumPathBytes && !linkName.includes('\0')) return linkName;
  throw new ImageRefused(`its symbolic link ${shown(name)} leads nowhere.`);
}

/** The names in a path. `..` is taken as in the path alone, as archives are read; names that no kernel takes are refused. */
function componentsOf(path: string): string[] {
  const components: string[] = [];
  for (const name of rawComponents(path)) {
    if (name === '..') components.pop();
    else components.push(name);
  }
  const isTooLong =
    path.length > maximumPathBytes || components.some((name) => name.length > maximumNameBytes);
  if (isTooLong || path.includes('\0')) {
    throw new ImageRefused(`the name ${shown(path)} in one of its layers is none that Linux knows.`);
  }
  return components;
}

function rawComponents(path: string): string[] {
  return path.split('/').filter((name) => name !== '' && name !== '.');
}
