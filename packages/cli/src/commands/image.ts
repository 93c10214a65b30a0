import {
  buildDefaultImage,
  cacheDirectory,
  createImageStore,
  listImages,
  listPreparationFailures,
  pruneImages,
  type StoredImage,
} from '@slipway/runner';
import type { JsonFlag } from '../options.ts';
import { printJson } from '../print-json.ts';
import { inMiB, ProgressBar } from '../progress-bar.ts';

export interface PruneFlags extends JsonFlag {
  all?: boolean;
}

const shownDigestCharacters = 19;

/** `slipway image build`. */
export async function buildImage({ json }: JsonFlag): Promise<void> {
  const bar = new ProgressBar(process.stderr);
  try {
    const { reference, digest } = await buildDefaultImage({
      cacheDirectory: cacheDirectory(process.env),
      report: (line) => bar.say(line),
      progress: ({ stage, done, total, unit }) => bar.show(stage, done, total, unit),
    });
    bar.end();
    tellReady({ reference, digest }, json);
  } finally {
    bar.end();
  }
}

/** `slipway image pull`: from wherever this host gets to, logged in as this host is. */
export async function pullImage(reference: string, { json }: JsonFlag): Promise<void> {
  const images = createImageStore({ cacheDirectory: cacheDirectory(process.env) });
  const bar = new ProgressBar(process.stderr);
  const stages = { fetching: 'Pulling', converting: 'Converting' };
  try {
    const { digest } = await images.resolve(reference, {
      progress: ({ stage, bytes, totalBytes }) => bar.show(stages[stage], bytes, totalBytes),
    });
    bar.end();
    tellReady({ reference, digest }, json);
  } finally {
    bar.end();
    await images.close();
  }
}

/** `slipway image ls`: also those that were to be made ready ahead of time and could not be had. */
export async function listAllImages({ json }: JsonFlag): Promise<void> {
  const cache = cacheDirectory(process.env);
  const [images, failures] = await Promise.all([listImages(cache), listPreparationFailures(cache)]);
  if (json) return printJson({ images, failures });
  if (images.length === 0) console.log('There are no images on this host; ./slipway image build makes one.');
  for (const { references, digest, bytes, usedAt, isInUse } of images) {
    const use = isInUse ? 'in use' : `used ${inMinutes(usedAt.toISOString())}`;
    const columns = [digest.slice(0, shownDigestCharacters), inMiB(bytes).padStart(12), use.padEnd(21)];
    console.log(`${columns.join('  ')}  ${references.join(', ')}`);
  }
  if (failures.length > 0) console.log('\nCould not be made ready for the runs that will want them:');
  for (const { failedAt, problem } of failures) console.log(`${inMinutes(failedAt)}  ${problem}`);
}

/** `slipway image inspect`. */
export async function inspectImage(name: string, { json }: JsonFlag): Promise<void> {
  const image = oneImage(await listImages(cacheDirectory(process.env)), name);
  if (json) return printJson(image);
  const { userId, groupId, home } = image.config.user;
  const lines = {
    reference: image.references.join(', '),
    digest: image.digest,
    device: `${image.erofsPath} (${inMiB(image.bytes)})`,
    used: image.isInUse ? 'now' : image.usedAt.toISOString(),
    user: `${userId}:${groupId}, home ${home}`,
    environment: Object.keys(image.config.environment).join(' '),
  };
  for (const [title, text] of Object.entries(lines)) console.log(`${title.padEnd(12)}${text}`);
}

/** `slipway image prune`. */
export async function pruneAllImages({ all = false, json }: PruneFlags): Promise<void> {
  const freedBytes = await pruneImages(cacheDirectory(process.env), { all });
  if (json) return printJson({ freedBytes });
  console.log(`${inMiB(freedBytes)} freed`);
}

function oneImage(images: readonly StoredImage[], name: string): StoredImage {
  const matches = images.filter(
    ({ references, digest }) =>
      references.includes(name) || digest.startsWith(name) || digest.startsWith(`sha256:${name}`),
  );
  const [image] = matches;
  if (image && matches.length === 1) return image;
  throw new Error(
    image
      ? `"${name}" fits ${matches.length} images: ${matches.map(nameOf).join('; ')}. Give the reference, or more of the digest.`
      : `There is no image "${name}" on this host. ./slipway image ls lists those that there are.`,
  );
}

function tellReady(image: { readonly reference: string; readonly digest: string }, json?: boolean): void {
  if (json) printJson(image);
  else console.log(`${image.reference} ${image.digest}`);
}

function nameOf({ digest, references }: StoredImage): string {
  return `${digest} (${references.join(', ')})`;
}

/** `time`: ISO 8601. */
function inMinutes(time: string): string {
  return time.slice(0, 16).replace('T', ' ');
}
