import { chmod, copyFile, cp, mkdir, rm, symlink } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { ensureLanguageHost } from '../language-host.ts';
import { ensureNodePackages } from '../node-packages.ts';
import { ensureBuiltPulumiCli } from '../pulumi-cli.ts';
import { nodePath } from '../repository.ts';
import { runCommand } from '../run-command.ts';
import type { SetUpOptions } from '../set-up-options.ts';

/** What the image holds besides Debian. */
export interface Tools {
  readonly pulumi: string;
  readonly node: string;
  /** Folder of the npm package `npm`. */
  readonly npm: string;
  /** Folder on PATH with the language host; its `../lib` belongs to it. */
  readonly languageHost: string;
}

export async function ensureTools(options: SetUpOptions): Promise<Tools> {
  return {
    pulumi: await ensureBuiltPulumiCli(options),
    node: nodePath,
    npm: join(await ensureNodePackages(options), 'npm'),
    languageHost: await ensureLanguageHost(options),
  };
}

/** Writes the tools as one layer of an image, below `/usr/local`, to the tar archive `path`. */
export async function writeToolsLayer(tools: Tools, path: string): Promise<void> {
  const root = `${path}.root`;
  const prefix = join(root, 'usr/local');
  const bin = join(prefix, 'bin');
  const npmFolder = 'lib/node_modules/npm';
  await mkdir(bin, { recursive: true });
  // The language host's folder is laid out as a prefix of its own.
  await cp(dirname(tools.languageHost), prefix, { recursive: true, verbatimSymlinks: true });
  await cp(tools.npm, join(prefix, npmFolder), { recursive: true, verbatimSymlinks: true });
  for (const name of ['npm', 'npx']) await symlink(`../${npmFolder}/bin/${name}-cli.js`, join(bin, name));
  for (const name of ['pulumi', 'node'] as const) {
    await copyFile(tools[name], join(bin, name));
    await chmod(join(bin, name), 0o755);
  }
  await runCommand([
    ...['tar', '--create', `--file=${path}`, `--directory=${root}`],
    ...['--sort=name', '--mtime=@0', '--owner=0', '--group=0', '--numeric-owner', 'usr'],
  ]);
  await rm(root, { recursive: true });
}
