import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { runCommand } from '../src/setup/run-command.ts';
import { type LayerEntry, layerOf } from '../src/testing/layers.ts';
import { type OciImage, type WrittenImage, writeOciImage } from '../src/testing/oci-image.ts';

/** A real registry on loopback, with what is pushed to it in `folder`. */
export interface TestRegistry extends AsyncDisposable {
  readonly host: string;
  /** How many times a path that matches was asked for. */
  requests(pattern: RegExp): number;
}

/** `settings`: of the registry's configuration, beside those for its storage and address. */
export async function startRegistry(folder: string, settings: object = {}): Promise<TestRegistry> {
  await mkdir(folder, { recursive: true });
  const host = `127.0.0.1:${await freePort()}`;
  const configuration = join(folder, 'config.json'); // The registry reads YAML, and JSON is YAML.
  await writeFile(
    configuration,
    JSON.stringify({
      version: '0.1',
      log: { level: 'info', formatter: 'text' },
      storage: { filesystem: { rootdirectory: join(folder, 'data') } },
      http: { addr: host },
      ...settings,
    }),
  );
  const registry = spawn('docker-registry', ['serve', configuration], { stdio: ['ignore', 'pipe', 'pipe'] });
  let log = '';
  for (const stream of [registry.stdout, registry.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      log += text;
    });
  }
  await waitUntil(() => fetch(`http://${host}/v2/`).then((answer) => answer.ok || answer.status === 401));
  return {
    host,
    requests: (pattern) =>
      log.split('\n').filter((line) => line.includes('"GET ') && pattern.test(line)).length,
    async [Symbol.asyncDispose]() {
      registry.kill();
      await once(registry, 'exit');
    },
  };
}

/** Pushes an image. `login`: user name and password, as `name:password`. */
export async function push(
  folder: string,
  target: string,
  image: OciImage,
  login?: string,
): Promise<WrittenImage> {
  await mkdir(folder, { recursive: true });
  const layout = await mkdtemp(join(folder, 'layout-'));
  const written = await writeOciImage(layout, image);
  const credentials = login === undefined ? [] : ['--dest-creds', login];
  await runCommand([
    ...['skopeo', 'copy', '--dest-tls-verify=false', ...credentials],
    ...[`oci:${layout}:image`, `docker://${target}`],
  ]);
  await rm(layout, { recursive: true });
  return written;
}

/** Pushes an image with these files (path → content; executable) and links, in one layer. */
export async function pushImage(
  folder: string,
  target: string,
  files: Readonly<Record<string, string>>,
  options: {
    architecture?: string;
    environment?: string[];
    links?: Readonly<Record<string, string>>;
  } = {},
): Promise<WrittenImage> {
  const { architecture = 'amd64', environment = [], links = {} } = options;
  const entries: LayerEntry[] = [
    ...Object.entries(files).map(([file, content]): LayerEntry => ({ file, content, mode: 0o755 })),
    ...Object.entries(links).map(([symbolicLink, target]): LayerEntry => ({ symbolicLink, target })),
  ];
  return push(folder, target, { layers: [layerOf(entries)], architecture, config: { Env: environment } });
}

/** Pushes an index: one image for each platform, of those that the repository has. */
export async function pushIndex(
  repository: string,
  tag: string,
  entries: readonly { architecture: string; digest: string; size: number }[],
): Promise<void> {
  const [host = '', ...path] = repository.split('/');
  const mediaType = 'application/vnd.oci.image.index.v1+json';
  const manifests = entries.map(({ architecture, digest, size }) => ({
    mediaType: 'application/vnd.oci.image.manifest.v1+json',
    ...{ digest, size, platform: { os: 'linux', architecture } },
  }));
  const answer = await fetch(`http://${host}/v2/${path.join('/')}/manifests/${tag}`, {
    method: 'PUT',
    headers: { 'content-type': mediaType },
    body: JSON.stringify({ schemaVersion: 2, mediaType, manifests }),
  });
  if (!answer.ok) throw new Error(`the registry refused the index: ${answer.status} ${await answer.text()}`);
}

/** Mounts an EROFS file and copies what it holds to `target`. Needs root. */
export async function extractErofs(erofsPath: string, target: string): Promise<void> {
  const mountPoint = `${target}.mount`;
  await mkdir(mountPoint, { recursive: true });
  await runCommand(['mount', '-t', 'erofs', '-o', 'loop,ro', erofsPath, mountPoint]);
  try {
    await runCommand(['cp', '--archive', mountPoint, target]);
  } finally {
    await runCommand(['umount', mountPoint]);
  }
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  if (address === null || typeof address === 'string') throw new Error('no TCP port');
  return address.port;
}

async function waitUntil(isTrue: () => Promise<boolean>): Promise<void> {
  for (let attempt = 0; attempt < 100; attempt += 1) {
    if (await isTrue().catch(() => false)) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error('the registry did not start');
}
