import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { cacheDirectory as cacheDirectoryOf } from '../src/cache-directory.ts';
import type { Image } from '../src/images/image.ts';
import { createImageStore } from '../src/images/image-store.ts';
import { type BuiltImage, buildDefaultImage } from '../src/setup/default-image/default-image.ts';
import { runCommand } from '../src/setup/run-command.ts';
import { extractErofs, startRegistry } from './image-registry.ts';

/** A program with a dynamic resource, for which nothing was installed: it takes the SDK of the image. */
const program = {
  'Pulumi.yaml': 'name: program\nruntime: nodejs\n',
  'package.json': '{"name":"program","main":"index.js"}',
  'index.js': `
    const pulumi = require('@pulumi/pulumi');
    const provider = { create: async (inputs) => ({ id: 'made-' + inputs.name, outs: inputs }) };
    class Thing extends pulumi.dynamic.Resource {}
    const thing = new Thing(provider, 'thing', { name: new pulumi.Config().requireSecret('name') });
    exports.id = thing.id;`,
};

const cacheDirectory = cacheDirectoryOf(process.env);
const report = () => {};
let folder: string;
let root: string;
let built: BuiltImage;
let image: Image;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'slipway-default-image-'));
  built = await buildDefaultImage({ cacheDirectory, report });
  image = await createImageStore({ cacheDirectory }).resolve(built.reference);
  root = join(folder, 'root');
  await extractErofs(image.erofsPath, root);
  await mkdir(join(root, 'program/state'), { recursive: true });
  for (const [name, content] of Object.entries(program))
    await writeFile(join(root, 'program', name), content);
}, 15 * 60_000);

afterAll(() => rm(folder, { recursive: true }));

/** Runs a shell command in the image. */
async function inImage(command: string): Promise<string> {
  const withKernelFiles =
    'mount --bind /dev "$1/dev" && mount -t proc proc "$1/proc" && exec chroot "$1" /bin/sh -ec "$2"';
  return runCommand(
    [
      'unshare',
      '--mount',
      '--pid',
      '--fork',
      '--kill-child',
      'sh',
      '-c',
      withKernelFiles,
      'sh',
      root,
      command,
    ],
    {
      environment: {
        PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
        HOME: '/root',
        PULUMI_SKIP_UPDATE_CHECK: 'true',
        PULUMI_CONFIG_PASSPHRASE: 'passphrase',
        PULUMI_BACKEND_URL: 'file:///program/state',
      },
    },
  );
}

describe('the default executor image', () => {
  test('is Debian with the tools of a run', async () => {
    const output = await inImage(
      '. /etc/os-release; echo $ID; pulumi version; node --version; npm --version; git --version; curl --version; ssh -V 2>&1',
    );
    expect(output).toMatch(
      /^debian\nv3\.\d+\.\d+\nv24\.\S+\n\d+\.\S+\ngit version .*\ncurl .*[\s\S]*OpenSSH/,
    );
  });

  test('runs a program with a dynamic resource and a secret, without anything installed for it', async () => {
    const output = await inImage(
      `cd /program; pulumi stack init dev --non-interactive; pulumi config set --secret name x;
       pulumi up --yes --skip-preview --non-interactive; pulumi stack output id`,
    );
    expect(output).toContain('+ 2 created');
    expect(output).not.toContain('warning');
    expect(output.trim().split('\n').at(-1)).toBe('made-x');
  });

  test('carries neither certificates nor a proxy of the host', async () => {
    const bundle = await readFile(join(root, 'etc/ssl/certs/ca-certificates.crt'), 'utf8');
    const listed = (await readFile(join(root, 'etc/ca-certificates.conf'), 'utf8'))
      .split('\n')
      .filter((line) => line !== '' && !/^[#!]/.test(line));
    expect(bundle.split('BEGIN CERTIFICATE').length - 1).toBe(listed.length);
    const settings = await inImage(
      'apt-config dump Acquire; cat /usr/local/etc/npmrc /root/.npmrc 2>/dev/null || true',
    );
    expect(settings).not.toMatch(/proxy "|cainfo|cafile/i);
    // Also of a host that has neither: what stands beside them in the configuration of the build is not here.
    expect(await inImage('cat /etc/apt/apt.conf.d/*')).not.toContain('Acquire::Languages');
    expect(Object.keys(image.config.environment)).toEqual(['PATH']);
  });

  test('is built once: a second call takes less than 500 milliseconds', async () => {
    const start = performance.now();
    expect(await buildDefaultImage({ cacheDirectory, report })).toEqual(built);
    expect(performance.now() - start).toBeLessThan(500);
  });

  test('can be pushed to a registry and comes back as the same image', async () => {
    await using registry = await startRegistry(join(folder, 'registry'));
    const reference = `${registry.host}/slipway/executor:latest`;
    const target = ['--dest-tls-verify=false', `oci:${built.layoutPath}:image`, `docker://${reference}`];
    await runCommand(['skopeo', 'copy', ...target]);
    const images = createImageStore({ cacheDirectory });
    expect((await images.resolve(reference)).digest).toBe(built.digest);
  });
});
