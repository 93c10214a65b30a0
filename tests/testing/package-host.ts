import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { makeNetworkNamespace } from './network-namespace.ts';
import { writePackageIndexes } from './package-index.ts';
import { ensurePackageTools } from './package-tools.ts';

const port = 8080;

/** Registries of npm, Python, Go and .NET packages on a host of their own, which also has the tools that install them. */
export interface PackageHost extends AsyncDisposable {
  readonly address: string;
  readonly url: string;
  /** Where the tools and packages lie on this host (`ensurePackageTools`). */
  readonly folder: string;
  /** Requests for packages, and for what registries tell of them: `GET /npm/…`. */
  readonly packageRequests: readonly string[];
}

/** Starts the host. Keeps its files in `folder`. */
export async function startPackageHost(folder: string): Promise<PackageHost> {
  const tools = await ensurePackageTools();
  const namespace = await makeNetworkNamespace();
  const { address } = namespace;
  const url = `http://${address}:${port}`;
  await writePackageIndexes(folder, tools, url);
  const [command = '', ...enter] = namespace.enter;
  const program = join(import.meta.dirname, 'package-host-process.ts');
  const server = spawn(command, [...enter, process.execPath, program, address, String(port), folder, tools], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const packageRequests: string[] = [];
  const lines = createInterface({ input: server.stdout });
  const ended = once(server, 'exit');
  await Promise.race([
    once(lines, 'line'),
    ended.then(() => Promise.reject(new Error('the package host could not start'))),
  ]);
  lines.on('line', (line) => {
    if (!line.startsWith('GET /tools/')) packageRequests.push(line);
  });
  return {
    address,
    url,
    folder: tools,
    packageRequests,
    async [Symbol.asyncDispose]() {
      server.kill();
      await ended;
      await namespace[Symbol.asyncDispose]();
    },
  };
}
