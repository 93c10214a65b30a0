import { access } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { cacheDirectory, ensureLanguageHost, ensurePulumiCli } from '@slipway/runner';

/** A PATH with the real `pulumi`, its Node.js language host, this Node and npm: what an executor image brings. */
export async function pulumiPath(): Promise<string> {
  const cache = { cacheDirectory: cacheDirectory(process.env), report: () => {} };
  const folders = [
    dirname(await ensurePulumiCli(cache)),
    await ensureLanguageHost(cache),
    dirname(process.execPath),
    process.env.PATH ?? '',
  ];
  return folders.join(':');
}

/** Variables that make the real `pulumi` keep its state in a folder instead of the control plane. */
export async function fileBackend(directory: string): Promise<Record<string, string>> {
  await access(directory);
  return {
    PULUMI_BACKEND_URL: `file://${directory}`,
    PULUMI_CONFIG_PASSPHRASE: 'passphrase',
    PULUMI_HOME: join(directory, 'home'),
  };
}
