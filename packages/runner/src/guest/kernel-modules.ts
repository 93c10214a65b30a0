import { readdir, readFile } from 'node:fs/promises';
import { basename, join } from 'node:path';

/** A kernel module and where its file is. */
export interface KernelModule {
  readonly name: string;
  readonly path: string;
}

/**
 * The files of the modules `names` and of all that they need, each after what it needs. `folder` is the kernel's
 * `lib/modules/<release>`. Throws when one is not there.
 */
export async function modulesInOrder(folder: string, names: readonly string[]): Promise<KernelModule[]> {
  const paths = new Map<string, string>();
  for (const entry of await readdir(folder, { recursive: true })) {
    if (entry.endsWith('.ko')) paths.set(moduleName(entry), join(folder, entry));
  }
  const ordered = new Map<string, KernelModule>();
  const add = async (name: string): Promise<void> => {
    if (ordered.has(name)) return;
    const path = paths.get(name);
    if (path === undefined) throw new Error(`The kernel package has no module ${name}.`);
    for (const needed of await neededModules(path)) await add(needed);
    ordered.set(name, { name, path });
  };
  for (const name of names) await add(name);
  return [...ordered.values()];
}

/** A module file names what it needs in its `.modinfo` section: `depends=one,two`, between zero bytes. */
async function neededModules(path: string): Promise<string[]> {
  const contents = await readFile(path, 'latin1');
  const [, needed = ''] = /\0depends=([^\0]*)\0/.exec(contents) ?? [];
  return needed
    .split(',')
    .filter((name) => name !== '')
    .map(moduleName);
}

/** Files are named with `-` or `_`, whatever the module is called. */
function moduleName(path: string): string {
  return basename(path, '.ko').replaceAll('-', '_');
}

const signatureMark = Buffer.from('~Module signature appended~\n');
/** `struct module_signature` (include/linux/module_signature.h), which ends with the signature's length. */
const signatureStructBytes = 12;

/**
 * A module's file without the signature at its end. The kernel would check that at each boot, which in an emulated machine
 * takes a tenth of a second for all of them, and would load the module whatever comes of it: what is in the initramfs is
 * as it came out of the kernel's package, which apt has checked.
 */
export function withoutSignature(contents: Buffer): Buffer {
  const markAt = contents.length - signatureMark.length;
  if (markAt < signatureStructBytes || !contents.subarray(markAt).equals(signatureMark)) return contents;
  const signatureBytes = contents.readUInt32BE(markAt - 4);
  return contents.subarray(0, Math.max(0, markAt - signatureStructBytes - signatureBytes));
}
