import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { build } from 'esbuild';
import { z } from 'zod';
import { compile } from '../guest/compile.ts';
import { makeErofsCommand } from '../images/erofs.ts';
import { contentKey, fileDigest, fileIdentity, folderContents } from '../setup/content-key.ts';
import { keepNewestVersions } from '../setup/keep-newest.ts';
import { makeOnce } from '../setup/make-once.ts';
import { nodePath, repositoryPath } from '../setup/repository.ts';
import { runCommand } from '../setup/run-command.ts';
import type { SetUpOptions } from '../setup/set-up-options.ts';
import { copyWithLibraries, loaderName } from './node-with-libraries.ts';
import type { Toolbox } from './toolbox.ts';

/** Changes when the way in which the toolbox is made does. */
const recipe = 'toolbox 2';
const reaperSource = repositoryPath('packages/executor/reaper.c');
const erofsName = 'toolbox.erofs';
const recordName = 'toolbox.json';
const record = z.object({ digest: z.string() });

/** The toolbox of this checkout and host; made anew when the executor's source or Node changed. */
export async function ensureToolbox({ cacheDirectory, report }: SetUpOptions): Promise<Toolbox> {
  const key = contentKey([recipe, ...(await inputs())]);
  const folder = join(cacheDirectory, 'toolbox', key);
  await makeOnce(folder, async (partialFolder) => {
    await make(partialFolder, report);
    await keepNewestVersions(join(cacheDirectory, 'toolbox'));
  });
  const { digest } = record.parse(JSON.parse(await readFile(join(folder, recordName), 'utf8')));
  return {
    digest,
    erofsPath: join(folder, erofsName),
    executorArgv: [
      '/slipway/bin/reaper',
      `/slipway/lib/${loaderName}`,
      ...['--library-path', '/slipway/lib', '/slipway/bin/node', '/slipway/executor.js'],
    ],
  };
}

async function inputs(): Promise<string[]> {
  return [
    ...(await folderContents(repositoryPath('packages/executor/src'))),
    ...(await folderContents(repositoryPath('packages/core/src'))),
    await readFile(reaperSource, 'utf8'),
    await readFile(repositoryPath('package-lock.json'), 'utf8'),
    await fileIdentity(nodePath),
  ];
}

async function make(folder: string, report: (line: string) => void): Promise<void> {
  const root = join(folder, 'root');
  await mkdir(root, { recursive: true });
  report('bundling the executor …');
  await bundleExecutor(join(root, 'executor.js'));
  // Says how Node is to read executor.js, before a package.json of the image could say otherwise.
  await writeFile(join(root, 'package.json'), '{"type":"commonjs"}');
  report('adding Node and its libraries …');
  await copyWithLibraries(nodePath, root);
  await compile([reaperSource], join(root, 'bin', 'reaper'));
  const target = join(folder, erofsName);
  // One time and one UUID: the same inputs give the same bytes, and so the same digest, on every host.
  await runCommand(makeErofsCommand({ target, folder: root, identity: recipe, timestampSeconds: 0 }));
  await rm(root, { recursive: true });
  await writeFile(join(folder, recordName), JSON.stringify({ digest: await fileDigest(target) }));
}

/**
 * One file, because under emulation each module costs. V8's compile cache or a snapshot beside it would gain nothing: in
 * a machine counted by instructions, Node alone starts in 0.11 s, the executor in 0.25 s, with a compile cache in 0.23 s.
 */
async function bundleExecutor(outfile: string): Promise<void> {
  await build({
    entryPoints: [repositoryPath('packages/executor/src/main.ts')],
    outfile,
    bundle: true,
    minifySyntax: true,
    minifyWhitespace: true,
    platform: 'node',
    target: 'node24',
    format: 'cjs',
    legalComments: 'none',
    logLevel: 'silent', // Errors are thrown.
  });
}
