import { createHash } from 'node:crypto';
import { CommandError, runCommand } from '../setup/run-command.ts';
import { ImageUnavailableError } from './image-unavailable.ts';
import { imageIndex } from './oci-layout.ts';
import type { ImageSource } from './reference.ts';

type RegistryImage = Extract<ImageSource, { kind: 'registry' }>;

const askTimeoutMilliseconds = 60_000;
const pullTimeoutMilliseconds = 60 * 60_000;

/**
 * Asks a registry, with skopeo and therefore with the host's credentials (`~/.docker/config.json`, credential helpers,
 * `REGISTRY_AUTH_FILE`), for the digest of the linux/amd64 manifest behind a reference.
 * Throws `ImageUnavailableError`.
 */
export async function resolveDigest(reference: string, source: RegistryImage): Promise<string> {
  const asked = source.digest ?? source.tag;
  const raw = await skopeo(reference, ['inspect', '--raw', ...tls(source), address(source, asked)], {
    timeoutMilliseconds: askTimeoutMilliseconds,
  });
  const document: unknown = JSON.parse(raw);
  const index = imageIndex.safeParse(document);
  if (!index.success) {
    // The digest of a manifest is that of its bytes.
    return source.digest ?? `sha256:${createHash('sha256').update(raw).digest('hex')}`;
  }
  const platforms = index.data.manifests.flatMap(({ digest, platform }) =>
    platform && platform.os !== 'unknown' ? [{ digest, ...platform }] : [],
  );
  const ours = platforms.find(({ os, architecture }) => os === 'linux' && architecture === 'amd64');
  if (ours) return ours.digest;
  const offered = platforms.map(({ os, architecture }) => `${os}/${architecture}`).join(', ');
  throw new ImageUnavailableError(
    reference,
    `image is ${offered || 'for no known platform'}, this runner is linux/amd64; build it for linux/amd64 too.`,
  );
}

/** Fetches one manifest and its blobs into an OCI layout, where the image is called `image`. */
export async function pull(
  reference: string,
  source: RegistryImage,
  digest: string,
  layout: string,
  report: (line: string) => void,
): Promise<void> {
  await skopeo(reference, ['copy', ...tls(source, 'src-'), address(source, digest), `oci:${layout}:image`], {
    timeoutMilliseconds: pullTimeoutMilliseconds,
    report,
  });
}

function address({ repository }: RegistryImage, tagOrDigest: string): string {
  return `docker://${repository}${tagOrDigest.startsWith('sha256:') ? '@' : ':'}${tagOrDigest}`;
}

function tls({ onLoopback }: RegistryImage, prefix = ''): string[] {
  return onLoopback ? [`--${prefix}tls-verify=false`] : [];
}

async function skopeo(
  reference: string,
  argv: readonly string[],
  options: { timeoutMilliseconds: number; report?: (line: string) => void },
): Promise<string> {
  try {
    return await runCommand(['skopeo', ...argv], options);
  } catch (error) {
    if (!(error instanceof CommandError)) throw error;
    throw new ImageUnavailableError(reference, explain(error), { cause: error });
  }
}

/** What skopeo's messages mean for the user. */
const explanations: readonly [RegExp, string][] = [
  [
    /unauthorized|authentication required|denied|403/i,
    'the registry refuses access. Check the name, and log the runner host in with `skopeo login`.',
  ],
  [
    /manifest unknown|name unknown|not found|404/i,
    'the registry does not have it. Check repository, tag and digest.',
  ],
  [
    /x509|certificate/i,
    "the registry's certificate is not trusted. Add its authority to the runner host's certificates.",
  ],
  [
    /no such host|connection refused|i\/o timeout|network is unreachable|out of time/i,
    'the registry cannot be reached. Check its name, and network and proxy of the runner host.',
  ],
  [/no space left/i, "the runner's disk is full. Free some space in its cache directory."],
];

function explain(error: CommandError): string {
  const lastLine = error.output.trim().split('\n').at(-1) ?? '';
  const known = explanations.find(([pattern]) => pattern.test(error.message));
  return `${known?.[1] ?? 'it could not be fetched.'} (${lastLine.slice(0, 1000)})`;
}
