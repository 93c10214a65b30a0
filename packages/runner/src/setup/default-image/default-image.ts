import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { nameLocalImage } from '../../images/local-images.ts';
import { makeImage } from '../../images/make-image.ts';
import { readLayout } from '../../images/oci-layout.ts';
import { StoreFolder } from '../../images/store-folder.ts';
import { contentKey, fileIdentity } from '../content-key.ts';
import { keepNewestVersions } from '../keep-newest.ts';
import { makeOnce } from '../make-once.ts';
import { runCommand } from '../run-command.ts';
import type { SetUpOptions } from '../set-up-options.ts';
import { ensureDebianRoot } from './debian-root.ts';
import { ensureTools, type Tools, writeToolsLayer } from './tools-layer.ts';

/** The name of the locally built executor image. */
export const defaultImageReference = 'localhost/slipway/executor:latest';

/** Changes when the way in which the image is put together does. */
const recipe = 'default image 1';
const searchPath = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

export interface BuiltImage {
  readonly reference: string;
  /** `sha256:…` of the image's manifest. */
  readonly digest: string;
  /** OCI layout with the image under the name `image`, from which it can be pushed to a registry. */
  readonly layoutPath: string;
}

/**
 * Builds the default executor image: Debian, git, curl, ssh, the `pulumi` CLI, Node with npm, and the Node.js language
 * host. Nothing is built twice; when all is there this takes milliseconds.
 */
export async function buildDefaultImage(options: SetUpOptions): Promise<BuiltImage> {
  const { cacheDirectory, report, progress } = options;
  const debian = await ensureDebianRoot(options);
  const tools = await ensureTools(options);
  const key = contentKey([recipe, debian, await fileIdentity(debian), ...(await identities(tools))]);
  const folder = join(cacheDirectory, 'default-image', key);
  const layoutPath = join(folder, 'layout');
  await makeOnce(folder, async (partialFolder) => {
    await mkdir(partialFolder, { recursive: true });
    const toolsLayer = join(partialFolder, 'tools.tar');
    report('collecting the tools of the image …');
    await writeToolsLayer(tools, toolsLayer);
    report('packing the image …');
    await writeLayout(join(partialFolder, 'layout'), [debian, toolsLayer], (done, total) =>
      progress?.({ stage: 'Packing', done, total, unit: 'layers' }),
    );
    await rm(toolsLayer);
    await keepNewestVersions(join(cacheDirectory, 'default-image'));
  });
  const { digest } = await readLayout(layoutPath);
  const store = new StoreFolder(cacheDirectory);
  const image = { reference: defaultImageReference, digest, repository: null, isOpen: false };
  await makeImage(
    store,
    image,
    async () => {
      report('making a read-only device of the image …');
      return { layout: layoutPath, blobs: join(layoutPath, 'blobs') };
    },
    { progress: (done) => progress?.({ stage: 'Converting', done, unit: 'bytes' }) },
  );
  await nameLocalImage(store, defaultImageReference, digest);
  return { reference: defaultImageReference, digest, layoutPath };
}

async function identities(tools: Tools): Promise<string[]> {
  // The folders carry the keys of their contents in their names.
  return [await fileIdentity(tools.pulumi), await fileIdentity(tools.node), tools.npm, tools.languageHost];
}

/** One image of uncompressed layers' archives, first to last. */
async function writeLayout(
  layout: string,
  layers: readonly string[],
  packed: (layersDone: number, total: number) => void,
): Promise<void> {
  const image = ['--image', `${layout}:image`];
  await runCommand(['umoci', 'init', '--layout', layout]);
  await runCommand(['umoci', 'new', ...image]);
  for (const [index, layer] of layers.entries()) {
    packed(index, layers.length);
    await runCommand(['nice', '-n', '5', 'umoci', 'raw', 'add-layer', ...image, layer]);
  }
  packed(layers.length, layers.length);
  await runCommand([
    ...['umoci', 'config', ...image, '--os', 'linux', '--architecture', 'amd64'],
    ...['--config.env', `PATH=${searchPath}`, '--config.cmd', '/bin/bash', '--config.workingdir', '/'],
  ]);
  await runCommand(['umoci', 'gc', '--layout', layout]);
}
