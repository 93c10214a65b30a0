import { createHash } from 'node:crypto';
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

/** One that has a program and needs the other. */
export const npmPackages = [
  { name: 'mkdirp', version: '0.5.6', dependencies: { minimist: '^1.2.6' }, bin: { mkdirp: 'bin/cmd.js' } },
  { name: 'minimist', version: '1.2.8' },
] as const;
export const pythonPackage = { name: 'six', version: '1.17.0' } as const;
export const dotnetPackage = { name: 'greeting', version: '1.0.0' } as const;

/**
 * Writes what registries tell of packages into `folder`: documents of npm, a simple index of PyPI, a feed of NuGet. The
 * packages lie in `packages`, and everything is at `url`.
 */
export async function writePackageIndexes(folder: string, packages: string, url: string): Promise<void> {
  await writeNpmDocuments(folder, packages, url);
  await writeSimpleIndex(folder, packages, url);
  await writeFeed(join(folder, 'nuget'), `${url}/nuget/`);
}

async function writeNpmDocuments(folder: string, packages: string, url: string): Promise<void> {
  for (const one of npmPackages) {
    const { name, version } = one;
    const file = `${name}/-/${name}-${version}.tgz`;
    const hash = createHash('sha512').update(await readFile(join(packages, 'npm', file)));
    const dist = { tarball: `${url}/npm/${file}`, integrity: `sha512-${hash.digest('base64')}` };
    const document = { name, 'dist-tags': { latest: version }, versions: { [version]: { ...one, dist } } };
    await mkdir(join(folder, 'npm', name), { recursive: true });
    await writeFile(join(folder, 'npm', name, 'index.json'), JSON.stringify(document));
  }
}

async function writeSimpleIndex(folder: string, packages: string, url: string): Promise<void> {
  const [wheel = ''] = await readdir(join(packages, 'python'));
  const digest = createHash('sha256').update(await readFile(join(packages, 'python', wheel)));
  const link = `<a href="${url}/python/${wheel}#sha256=${digest.digest('hex')}">${wheel}</a>`;
  const simple = join(folder, 'simple', pythonPackage.name);
  await mkdir(simple, { recursive: true });
  await writeFile(join(simple, 'index.html'), `<!DOCTYPE html><html><body>${link}</body></html>\n`);
}

async function writeFeed(folder: string, url: string): Promise<void> {
  const resources = [{ '@id': url, '@type': 'PackageBaseAddress/3.0.0' }];
  const { name, version } = dotnetPackage;
  await mkdir(join(folder, name), { recursive: true });
  await writeFile(join(folder, 'index.json'), JSON.stringify({ version: '3.0.0', resources }));
  await writeFile(join(folder, name, 'index.json'), JSON.stringify({ versions: [version] }));
}
