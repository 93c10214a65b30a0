import { cp, mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { build } from 'esbuild';
import { contentKey, folderContents } from './content-key.ts';
import { keepNewestVersions } from './keep-newest.ts';
import { exists, makeOnce } from './make-once.ts';
import { ensureNodePackages, nodePackagesInputs } from './node-packages.ts';
import { nodePath, repositoryPath } from './repository.ts';
import { runCommand } from './run-command.ts';
import type { SetUpOptions } from './set-up-options.ts';

const source = repositoryPath('images/default/pulumi-language-nodejs');

/**
 * The Node.js language host: answers the folder to put on PATH, with `pulumi-language-nodejs` and
 * `pulumi-resource-pulumi-nodejs`, which start the `node` on PATH (20 or newer). Beside it lies all that they need
 * (`../lib/pulumi-nodejs`), the Pulumi SDK for programs without `node_modules` included: copying both folders
 * somewhere else installs it there.
 */
export async function ensureLanguageHost({ cacheDirectory, report }: SetUpOptions): Promise<string> {
  const key = contentKey([...(await folderContents(source)), ...(await nodePackagesInputs())]);
  const folder = join(cacheDirectory, 'language-host', key);
  await makeOnce(folder, async (partialFolder) => {
    const nodeModules = await ensureNodePackages({ cacheDirectory, report });
    report('bundling the Node.js language host …');
    const library = join(partialFolder, 'lib', 'pulumi-nodejs');
    await mkdir(library, { recursive: true });
    await bundle(library, nodeModules);
    await cp(nodeModules, join(library, 'node_modules'), {
      recursive: true,
      verbatimSymlinks: true,
      filter: (path) => !isNotForPrograms(path.slice(nodeModules.length)),
    });
    await cp(join(source, 'bin'), join(partialFolder, 'bin'), { recursive: true });
    await fillCompileCache(library);
    await keepNewestVersions(join(cacheDirectory, 'language-host'));
  });
  return join(folder, 'bin');
}

async function bundle(outdir: string, nodeModules: string): Promise<void> {
  await build({
    entryPoints: {
      'language-host': join(source, 'main.js'),
      'dynamic-provider': join(source, 'dynamic-provider.js'),
    },
    outdir,
    outExtension: { '.js': '.cjs' },
    bundle: true,
    minify: true,
    platform: 'node',
    target: 'node20',
    format: 'cjs',
    nodePaths: [nodeModules],
    define: { 'import.meta.url': '__filename' },
    logLevel: 'silent', // Errors are thrown.
  });
}

/** npm itself, which the default image has elsewhere, and what only compilers and debuggers read. */
function isNotForPrograms(path: string): boolean {
  return /^\/(npm|\.bin|\.package-lock\.json)(\/|$)/.test(path) || /\.(map|d\.[cm]?ts)$/.test(path);
}

/**
 * Runs an empty program once, so that Node keeps the compiled form of the SDK's files: loading them from it takes
 * a quarter to a third less time. No engine listens at the given address, so the run fails, but only after everything was loaded.
 */
async function fillCompileCache(library: string): Promise<void> {
  const program = join(library, 'empty.cjs');
  await writeFile(program, '');
  const cache = join(library, 'compile-cache');
  const run = join(library, 'node_modules', '@pulumi', 'pulumi', 'cmd', 'run');
  const failure = await runCommand([nodePath, run, '--monitor', '127.0.0.1:1', program], {
    environment: {
      ...process.env,
      NODE_COMPILE_CACHE: cache,
      NODE_COMPILE_CACHE_PORTABLE: '1',
      PULUMI_NODEJS_TYPESCRIPT: 'true',
    },
  }).catch((error: unknown) => error);
  if (!(await exists(cache))) throw new Error('The Pulumi SDK could not be loaded.', { cause: failure });
  await rm(program);
}
