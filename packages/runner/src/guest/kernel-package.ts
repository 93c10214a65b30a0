import { chmod, mkdir, readdir, readFile, readlink, rename, rm, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { makeOnce } from '../setup/make-once.ts';
import { runCommand } from '../setup/run-command.ts';
import type { SetUpOptions } from '../setup/set-up-options.ts';
import { extractKernel } from './kernel-image.ts';

/** The kernel that Debian builds for virtual machines; the package only names the current one. */
const currentKernelPackage = 'linux-image-cloud-amd64';
/** `name=version` of a Debian package, as `apt-get` takes it. */
const packageAndVersion = /^[a-z0-9.+-]+=[A-Za-z0-9.+:~-]+$/;

export interface GuestKernel {
  /** `name=version` of the Debian package that it is of. */
  readonly packageVersion: string;
  /** The uncompressed kernel: it boots some 0.3 s faster than the compressed one when emulated. */
  readonly kernelPath: string;
  /** `lib/modules/<release>` of the kernel. */
  readonly modulesFolder: string;
}

/**
 * Kernel and modules out of the Debian package, unpacked in the cache and not installed. The version is chosen once and
 * then kept, until `update` asks for the current one. Throws with a remedy when apt cannot get it.
 */
export async function ensureKernel(
  { cacheDirectory, report }: SetUpOptions,
  update: boolean,
): Promise<GuestKernel> {
  const packageVersion = await chosenVersion(join(cacheDirectory, 'guest'), update);
  const folder = join(
    cacheDirectory,
    'guest',
    `kernel-${packageVersion.replaceAll(/[^A-Za-z0-9.+-]/g, '_')}`,
  );
  await makeOnce(folder, async (partialFolder) => {
    report(`getting the guest kernel ${packageVersion} …`);
    await mkdir(partialFolder, { recursive: true });
    const package_ = join(partialFolder, 'package');
    await downloadPackage(packageVersion, partialFolder);
    const [archive = ''] = (await readdir(partialFolder)).filter((name) => name.endsWith('.deb'));
    await runCommand(['dpkg-deb', '--extract', join(partialFolder, archive), package_]);
    const [compressed = ''] = (await readdir(join(package_, 'boot'))).filter((name) =>
      name.startsWith('vmlinuz-'),
    );
    const release = compressed.slice('vmlinuz-'.length);
    await extractKernel(join(package_, 'boot', compressed), join(partialFolder, 'vmlinux'));
    await chmod(join(partialFolder, 'vmlinux'), 0o444); // QEMU opens it, under a user id of its own.
    await rename(join(package_, 'lib/modules', release), join(partialFolder, 'modules'));
    await rm(package_, { recursive: true });
    await rm(join(partialFolder, archive));
  });
  return { packageVersion, kernelPath: join(folder, 'vmlinux'), modulesFolder: join(folder, 'modules') };
}

/** Removes the kernels that no guest in `guestFolder` boots any more. */
export async function removeUnusedKernels(guestFolder: string): Promise<void> {
  const names = (await readdir(guestFolder)).filter((name) => !/\.(lock|partial)$/.test(name));
  const links = await Promise.all(
    names.map((name) => readlink(join(guestFolder, name, 'vmlinux')).catch(() => '')),
  );
  const used = new Set(links.map((link) => basename(dirname(link))));
  for (const name of names) {
    const isKernel = name.startsWith('kernel-') && name !== basename(versionPath(guestFolder));
    if (isKernel && !used.has(name)) await rm(join(guestFolder, name), { recursive: true, force: true });
  }
}

/** Where the choice of a version is kept. */
function versionPath(guestFolder: string): string {
  return join(guestFolder, 'kernel-version');
}

async function chosenVersion(guestFolder: string, update: boolean): Promise<string> {
  const path = versionPath(guestFolder);
  const chosen = update ? '' : await readFile(path, 'utf8').catch(() => '');
  if (packageAndVersion.test(chosen.trim())) return chosen.trim();
  const current = await currentVersion();
  await mkdir(guestFolder, { recursive: true });
  await writeFile(`${path}.${process.pid}`, `${current}\n`);
  await rename(`${path}.${process.pid}`, path);
  return current;
}

async function currentVersion(): Promise<string> {
  const description = await runCommand([
    'apt-cache',
    'show',
    '--no-all-versions',
    currentKernelPackage,
  ]).catch(() => '');
  const [, name, version] = /^Depends:.*?(linux-image-[\w.+-]+) \(= ([^)]+)\)/m.exec(description) ?? [];
  if (name === undefined || version === undefined) {
    throw new Error(
      `apt knows no package ${currentKernelPackage}, which the guest's kernel is taken from. Run \`apt-get update\` as root with a Debian package source configured, then set up again.`,
    );
  }
  return `${name}=${version}`;
}

async function downloadPackage(packageVersion: string, folder: string): Promise<void> {
  await runCommand(['apt-get', 'download', '--quiet', packageVersion], {
    workingDirectory: folder,
    timeoutMilliseconds: 10 * 60_000,
  }).catch((error: unknown) => {
    throw new Error(
      `apt could not download ${packageVersion}, the guest's kernel. Run \`apt-get update\` as root, then set up again; when the version is gone by then, update the guest.`,
      { cause: error },
    );
  });
}
