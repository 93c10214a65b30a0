import { createHash } from 'node:crypto';
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

/** One that has a program and needs the other. */
export const npmPackages = [
  { name: 'mkdirp', version: '0.5.6', dependencies: { minimist: '^1.2.6' }, bin: { mkdirp: 'bin/cmd.js' } },
  { name: 'minimist', version: '1.2.8' },
] as const;
export const pythonPackage = { name: 'six', version: '1.17.0' } as const;

/**
 * Writes what registries tell of packages into `folder`: documents of npm, a simple index of PyPI. The packages lie in
 * `packages`, and everything is at `url`.
 */
export async function writePackageIndexes(folder: string, packages: string, url: string): Promise<void> {
  for (const one of npmPackages) {
    const { name, version } = one;
    const file = `${name}/-/${name}-${version}.tgz`;
    const hash = createHash('sha512').update(await readFile(join(packages, 'npm', file)));
    const dist = { tarball: `${url}/npm/${file}`, integrity: `sha512-${hash.digest('base64')}` };
    const document = { name, 'dist-tags': { latest: version }, versions: { [version]: { ...one, dist } } };
    await mkdir(join(folder, 'npm', name), { recursive: true });
    await writeFile(join(folder, 'npm', name, 'index.json'), JSON.stringify(document));
  }
  const [wheel = ''] = await readdir(join(packages, 'python'));
  const digest = createHash('sha256').update(await readFile(join(packages, 'python', wheel)));
  const link = `<a href="${url}/python/${wheel}#sha256=${digest.digest('hex')}">${wheel}</a>`;
  const simple = join(folder, 'simple', pythonPackage.name);
  await mkdir(simple, { recursive: true });
  await writeFile(join(simple, 'index.html'), `<!DOCTYPE html><html><body>${link}</body></html>\n`);
}
