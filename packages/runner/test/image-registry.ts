import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, cp, mkdir, rm, symlink, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { runCommand } from '../src/setup/run-command.ts';

/** A real registry on loopback, with what is pushed to it in `folder`. */
export interface TestRegistry extends AsyncDisposable {
  readonly host: string;
  /** How many times a path that matches was asked for. */
  requests(pattern: RegExp): number;
}

export async function startRegistry(folder: string): Promise<TestRegistry> {
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
    }),
  );
  const registry = spawn('docker-registry', ['serve', configuration], { stdio: ['ignore', 'pipe', 'pipe'] });
  let log = '';
  for (const stream of [registry.stdout, registry.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      log += text;
    });
  }
  await waitUntil(() => fetch(`http://${host}/v2/`).then((answer) => answer.ok));
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

/** Pushes an image with these files (path → content; executable) and answers nothing: ask the registry. */
export async function pushImage(
  folder: string,
  target: string,
  files: Readonly<Record<string, string>>,
  options: { architecture?: string; environment?: string[]; links?: Readonly<Record<string, string>> } = {},
): Promise<void> {
  const layout = join(folder, 'layout');
  const root = join(folder, 'root');
  for (const stale of [layout, root]) await rm(stale, { recursive: true, force: true });
  for (const [path, content] of Object.entries(files)) {
    await mkdir(join(root, path, '..'), { recursive: true });
    await writeFile(join(root, path), content);
    await chmod(join(root, path), 0o755);
  }
  for (const [path, destination] of Object.entries(options.links ?? {})) {
    await mkdir(join(root, path, '..'), { recursive: true });
    await symlink(destination, join(root, path));
  }
  await runCommand(['tar', '-C', root, '-cf', join(folder, 'layer.tar'), '.']);
  const image = ['--image', `${layout}:image`];
  await runCommand(['umoci', 'init', '--layout', layout]);
  await runCommand(['umoci', 'new', ...image]);
  await runCommand(['umoci', 'raw', 'add-layer', ...image, join(folder, 'layer.tar')]);
  const environment = (options.environment ?? []).flatMap((pair) => ['--config.env', pair]);
  await runCommand([
    ...['umoci', 'config', ...image, '--os', 'linux', '--architecture', options.architecture ?? 'amd64'],
    ...environment,
  ]);
  await runCommand([
    'skopeo',
    'copy',
    '--dest-tls-verify=false',
    `oci:${layout}:image`,
    `docker://${target}`,
  ]);
}

/** Mounts an EROFS file and copies what it holds to `target`. Needs root. */
export async function extractErofs(erofsPath: string, target: string): Promise<void> {
  const mountPoint = `${target}.mount`;
  await mkdir(mountPoint, { recursive: true });
  await runCommand(['mount', '-t', 'erofs', '-o', 'loop,ro', erofsPath, mountPoint]);
  try {
    await cp(mountPoint, target, { recursive: true, verbatimSymlinks: true });
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
