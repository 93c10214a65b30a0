import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { copyFileSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Image } from '../images/image.ts';
import type { Toolbox } from '../toolbox/toolbox.ts';

const busybox = '/bin/busybox';

/**
 * The smallest image that a sandbox can run: a root file system of nothing but a statically linked busybox, and a
 * toolbox of the same, so that tests of isolations need neither Node nor an executor. The files are made in
 * `directory`, which must exist; `addTo` puts more into the root. Needs the Debian packages busybox-static and
 * erofs-utils.
 */
export function buildTinyImage(
  directory: string,
  addTo: (root: string) => void = () => undefined,
): { image: Image; toolbox: Toolbox } {
  const root = join(directory, 'root');
  const executables = join(root, 'bin');
  for (const folder of ['bin', 'etc', 'root', 'tmp', 'usr', 'var/lib/program']) {
    mkdirSync(join(root, folder), { recursive: true });
  }
  copyFileSync(busybox, join(executables, 'busybox'));
  for (const applet of execFileSync(busybox, ['--list'], { encoding: 'utf8' }).trim().split('\n')) {
    if (applet !== 'busybox') symlinkSync('busybox', join(executables, applet));
  }
  writeFileSync(join(root, 'etc/passwd'), 'root:x:0:0:root:/root:/bin/sh\n');
  writeFileSync(join(root, 'etc/machine-id'), 'the image has a machine id of its own\n');

  addTo(root);

  const tools = join(directory, 'tools');
  mkdirSync(join(tools, 'bin'), { recursive: true });
  copyFileSync(busybox, join(tools, 'bin/busybox'));

  const image = buildErofs(root, join(directory, 'image.erofs'));
  const toolbox = buildErofs(tools, join(directory, 'toolbox.erofs'));
  return {
    image: {
      reference: 'localhost/slipway/tiny:latest',
      ...image,
      config: { environment: {}, user: { userId: 0, groupId: 0, furtherGroupIds: [], home: '/root' } },
    },
    toolbox: { ...toolbox, executorArgv: ['/slipway/bin/busybox', 'sh'] },
  };
}

/** A read-only device that holds one file, `content`, with the given text. */
export function buildTinyDevice(directory: string, content: string): string {
  const folder = join(directory, 'device');
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, 'content'), content);
  return buildErofs(folder, join(directory, 'device.erofs')).erofsPath;
}

function buildErofs(folder: string, erofsPath: string): { digest: string; erofsPath: string } {
  execFileSync('mkfs.erofs', ['--quiet', '-T0', '--all-root', erofsPath, folder], { stdio: 'pipe' });
  return {
    digest: `sha256:${createHash('sha256').update(readFileSync(erofsPath)).digest('hex')}`,
    erofsPath,
  };
}
