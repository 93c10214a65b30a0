import { mkdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { build } from 'esbuild';
import { z } from 'zod';
import { compile } from '../guest/compile.ts';
import { makeErofsCommand } from '../images/erofs.ts';
import { contentKey, fileIdentity, folderContents, folderDigest } from '../setup/content-key.ts';
import { keepNewestVersions } from '../setup/keep-newest.ts';
import { makeOnce } from '../setup/make-once.ts';
import { nodePath, repositoryPath } from '../setup/repository.ts';
import { runCommand } from '../setup/run-command.ts';
import type { SetUpOptions } from '../setup/set-up-options.ts';
import { copyWithLibraries, loaderName } from './node-with-libraries.ts';
import { readAheadList } from './read-ahead.ts';
import type { Toolbox } from './toolbox.ts';

/** Changes when the way in which the toolbox is made does. */
const recipe = 'toolbox 5';
const reaperSource = repositoryPath('packages/executor/reaper.c');
const erofsName = 'toolbox.erofs';
const snapshotName = 'executor.snapshot';
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
    executorArgv: ['/slipway/bin/reaper', ...executorCommand('/slipway')],
  };
}

/** The executor of the toolbox that is at `root`. */
function executorCommand(root: string): string[] {
  const node = [`${root}/lib/${loaderName}`, '--library-path', `${root}/lib`, `${root}/bin/node`];
  return [...node, '--snapshot-blob', `${root}/${snapshotName}`];
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
  report('adding Node and its libraries …');
  await copyWithLibraries(nodePath, root);
  await compile([reaperSource], join(root, 'bin', 'reaper'));
  report('bundling the executor …');
  const script = join(root, 'executor.js');
  await bundleExecutor(script);
  const digest = await folderDigest(root);
  await takeSnapshot(script, join(root, snapshotName));
  await writeFile(join(root, 'read-ahead'), await whatToReadAhead(root, report));
  const target = join(folder, erofsName);
  await runCommand(makeErofsCommand({ target, folder: root, identity: recipe, timestampSeconds: 0 }));
  await rm(root, { recursive: true });
  await writeFile(join(folder, recordName), JSON.stringify({ digest }));
}

/** Node maps its own files, and reads the snapshot as a whole. */
async function whatToReadAhead(root: string, report: (line: string) => void): Promise<string> {
  const { size } = await stat(join(root, snapshotName));
  const mapped = await readAheadList(executorCommand(root), root).catch((error: Error) => {
    report(`machines will start more slowly, as it is not known what they read: ${error.message}`);
    return '';
  });
  return `${mapped}0 ${size} ${snapshotName}\n`;
}

/** One file: a snapshot is taken of a script that loads no other. */
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

/**
 * Node's heap once the executor's modules are loaded, from which Node starts as quickly as without any script: in an
 * emulated machine the executor is ready 0.8 s earlier than from its script, of which a compile cache saves a tenth. V8
 * would throw away what it compiled for the rehearsal (`rehearse.ts`), were it not told to keep it.
 */
async function takeSnapshot(script: string, snapshot: string): Promise<void> {
  const node = [nodePath, '--no-flush-bytecode'];
  await runCommand([...node, '--snapshot-blob', snapshot, '--build-snapshot', script], { environment: {} });
}
