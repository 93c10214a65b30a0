import { mkdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { measureHost } from './capacity/host-resources.ts';
import { checkServerUrl } from './control-plane-client/server-url.ts';
import { archiveFormat, deviceFormat } from './dependency-cache/blob-format.ts';
import { EntryStore } from './dependency-cache/entry-store.ts';
import { createGatedNetwork } from './gated-network.ts';
import { ensureGuest } from './guest/ensure-guest.ts';
import { createClosedNetwork } from './images/closed-network.ts';
import { hostIdentities } from './images/identity/host-identities.ts';
import { createImageStore, type ImageStore } from './images/image-store.ts';
import { parseReference } from './images/reference.ts';
import { registryLogins } from './images/registry-login.ts';
import { createContainerIsolation } from './isolation/container/container-isolation.ts';
import { gvisor } from './isolation/container/runtime.ts';
import { type Isolation, SandboxStartError } from './isolation/isolation.ts';
import { removeOrphans } from './isolation/orphans.ts';
import { SandboxNames } from './isolation/sandbox-names.ts';
import { createVmIsolation } from './isolation/vm/vm-isolation.ts';
import { checkNetworks } from './network/egress-rules.ts';
import { networkObstacle } from './network/host-obstacle.ts';
import type { RunnerOptions, RunnerParts } from './runner-options.ts';
import { ensureGvisor } from './setup/gvisor.ts';
import { holdFolders } from './setup/hold.ts';
import type { SetUpOptions } from './setup/set-up-options.ts';
import { ensureToolbox } from './toolbox/ensure-toolbox.ts';

const defaultDependencyCacheGiB = 20;

/**
 * The real parts of a runner: guest, images, toolbox, network and isolation of this host. What can be made again lies
 * in `cacheDirectory`. Throws when an option is wrong, and `SandboxStartError` when the host cannot run the isolation,
 * with what is missing; it never falls back to another one.
 */
export async function openRunnerParts(options: RunnerOptions, cacheDirectory: string): Promise<RunnerParts> {
  const report = (line: string) => options.log.info({}, line);
  await checkHost(options);
  await mkdir(volumeFolder(options), { recursive: true, mode: 0o700 });
  const names = new SandboxNames(volumeFolder(options));
  const [{ isolation, sentence, blobFormats, madeFolders }, toolbox, dependencyCache] = await Promise.all([
    openIsolation(options, names, { cacheDirectory, report }),
    ensureToolbox({ cacheDirectory, report }),
    openDependencyCache(options),
  ]);
  const images = openImages(options, cacheDirectory, report);
  // A set-up of another version may come by while this runner lives.
  const hold = await holdFolders([dirname(toolbox.erofsPath), ...madeFolders]);
  return {
    isolation,
    images,
    toolbox,
    measureHost: () => measureHost(volumeFolder(options)),
    ...(dependencyCache && { dependencyCache, blobFormats }),
    createNetwork: () => createGatedNetwork(options),
    isolationSentence: sentence,
    removeOrphans: () => removeOrphans(names),
    close: async () => {
      await dependencyCache?.settled();
      await images.close();
      await hold.release();
    },
  };
}

/** What would otherwise fail run after run. */
async function checkHost(options: RunnerOptions): Promise<void> {
  checkServerUrl(options.serverUrl, options.insecureHttp ?? false);
  parseReference(options.defaultImage);
  for (const reference of options.warm?.images ?? []) parseReference(reference);
  checkNetworks(options.allowedPrivateNetworks);
  const obstacle = await networkObstacle();
  if (obstacle === undefined) return;
  throw new SandboxStartError(
    `Runs would have no network on this host: ${obstacle.what}. Try: ${obstacle.remedy}`,
  );
}

/** Runs name images that the runner's host then asks registries for: from a network that does not lead to the host. */
function openImages(
  { allowedPrivateRegistries = [], allowedPrivateNetworks, imageCacheGiB, usesHostIdentity }: RunnerOptions,
  cacheDirectory: string,
  report: (line: string) => void,
): ImageStore {
  const network = createClosedNetwork({
    openRegistries: allowedPrivateRegistries,
    allowedPrivateNetworks,
    resolverFile: join(cacheDirectory, 'images/resolv.conf'),
  });
  const limitBytes = imageCacheGiB === undefined ? undefined : imageCacheGiB * 1024 ** 3;
  const logins = registryLogins(usesHostIdentity === false ? [] : hostIdentities(process.env));
  return createImageStore({ cacheDirectory, report, network, logins, ...(limitBytes && { limitBytes }) });
}

async function openDependencyCache(options: RunnerOptions): Promise<EntryStore | undefined> {
  const { dataDirectory, dependencyCacheGiB = defaultDependencyCacheGiB, log } = options;
  if (dependencyCacheGiB === 0) return undefined;
  const folder = join(dataDirectory, 'dependency-cache');
  return EntryStore.open({
    folder,
    maximumBytes: dependencyCacheGiB * 1024 ** 3,
    failed: (error) => log.warn({ err: error }, 'A cache entry was not kept'),
  });
}

interface OpenedIsolation {
  readonly isolation: Isolation;
  readonly sentence: string;
  /** Folders of the cache that it works with. */
  readonly madeFolders: readonly string[];
  readonly blobFormats: NonNullable<RunnerParts['blobFormats']>;
}

async function openIsolation(
  options: RunnerOptions,
  names: SandboxNames,
  setUp: SetUpOptions,
): Promise<OpenedIsolation> {
  switch (options.isolation) {
    case 'gvisor':
      return {
        isolation: createContainerIsolation({
          folder: names.folder,
          names,
          runtime: await gvisor(await ensureGvisor(setUp)),
        }),
        sentence:
          'Runs execute in containers on gVisor, a kernel of their own in user space: no virtual machines.',
        madeFolders: [],
        blobFormats: { archive: archiveFormat },
      };
    case 'container':
      return {
        isolation: createContainerIsolation({ folder: names.folder, names }),
        sentence: 'Runs execute in containers that share the kernel of this host: for development and tests.',
        madeFolders: [],
        blobFormats: { archive: archiveFormat },
      };
    case 'vm':
      return openVmIsolation(names, setUp);
  }
}

async function openVmIsolation(names: SandboxNames, setUp: SetUpOptions): Promise<OpenedIsolation> {
  const guest = await ensureGuest(setUp);
  const isolation = await createVmIsolation({
    guest,
    folder: names.folder,
    names,
    cacheDirectory: setUp.cacheDirectory,
  });
  return {
    isolation,
    sentence: isolation.describeAcceleration(),
    madeFolders: [dirname(guest.initramfsPath)],
    blobFormats: { device: deviceFormat(guest.sparseFilePath) },
  };
}

function volumeFolder({ dataDirectory }: RunnerOptions): string {
  return join(dataDirectory, 'volumes');
}
