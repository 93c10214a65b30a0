import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { createImageStore, type ImageStore } from '../src/images/image-store.ts';
import { ImageUnavailableError } from '../src/images/image-unavailable.ts';
import { nodePath, repositoryPath } from '../src/setup/repository.ts';
import { runCommand } from '../src/setup/run-command.ts';
import { extractErofs, pushImage, startRegistry, type TestRegistry } from './image-registry.ts';

let folder: string;
let registry: TestRegistry;
let cacheDirectory: string;
let images: ImageStore;
const withPulumi = { 'opt/pulumi/pulumi': '#!/bin/sh\necho v0\n', 'etc/greeting': 'hello' };
const environment = ['PATH=/opt/pulumi:/bin', 'GREETING=a=b'];

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'slipway-images-'));
  registry = await startRegistry(join(folder, 'registry'));
  await pushImage(folder, `${registry.host}/team/program:1`, withPulumi, { environment });
  await pushImage(folder, `${registry.host}/team/empty:1`, { 'etc/greeting': 'hello' });
  await pushImage(folder, `${registry.host}/team/arm:1`, withPulumi, { environment, architecture: 'arm64' });
});

afterAll(async () => {
  await registry[Symbol.asyncDispose]();
  await rm(folder, { recursive: true });
});

beforeEach(async () => {
  cacheDirectory = await mkdtemp(join(folder, 'cache-'));
  images = createImageStore({ cacheDirectory });
});

/** The error of a reference that cannot be used. */
async function unavailable(reference: string): Promise<ImageUnavailableError> {
  const error = await images.resolve(reference).catch((thrown: unknown) => thrown);
  if (!(error instanceof ImageUnavailableError)) throw new Error(`expected a refusal, got ${String(error)}`);
  expect(error.runCause).toBe('image-unavailable');
  expect(error.message).toContain(`"${reference}"`);
  return error;
}

describe('an image of a registry', () => {
  test('is pulled by its tag and becomes a read-only device with its files and variables', async () => {
    const reference = `${registry.host}/team/program:1`;
    const image = await images.resolve(reference);
    expect(image.reference).toBe(reference);
    const digest = await runCommand([
      'skopeo',
      'inspect',
      '--tls-verify=false',
      '--format',
      '{{.Digest}}',
      `docker://${reference}`,
    ]);
    expect(image.digest).toBe(digest.trim());
    expect(image.config.environment).toEqual({ PATH: '/opt/pulumi:/bin', GREETING: 'a=b' });
    const extracted = join(cacheDirectory, 'extracted');
    await extractErofs(image.erofsPath, extracted);
    expect(await readFile(join(extracted, 'etc/greeting'), 'utf8')).toBe('hello');
    const program = await stat(join(extracted, 'opt/pulumi/pulumi'));
    expect(program.mode & 0o777).toBe(0o755);
    expect(program.uid).toBe(0);
    const made = await stat(image.erofsPath);
    expect(made.mode & 0o222).toBe(0);
  });

  test('leaves nothing but the device and its record in the cache', async () => {
    const { digest } = await images.resolve(`${registry.host}/team/program:1`);
    const names = await readdir(join(cacheDirectory, 'images', digest.replace(':', '-')));
    expect(names.sort()).toEqual(['image.json', 'root.erofs']);
  });

  test('is named by its digest too, and then needs no registry once it is here', async () => {
    const { digest, erofsPath } = await images.resolve(`${registry.host}/team/program:1`);
    const before = registry.requests(/./);
    const again = await images.resolve(`${registry.host}/team/program:ignored@${digest}`);
    expect(again.erofsPath).toBe(erofsPath);
    expect(registry.requests(/./)).toBe(before);
  });

  test('is pulled by digest alone', async () => {
    const { digest } = await images.resolve(`${registry.host}/team/program:1`);
    const other = createImageStore({ cacheDirectory: await mkdtemp(join(folder, 'cache-')) });
    expect((await other.resolve(`${registry.host}/team/program@${digest}`)).digest).toBe(digest);
  });

  test('is looked up again by its tag, and a moved tag gives the new content', async () => {
    const reference = `${registry.host}/team/moving:latest`;
    await pushImage(folder, reference, { ...withPulumi, 'etc/greeting': 'first' }, { environment });
    const first = await images.resolve(reference);
    await pushImage(folder, reference, { ...withPulumi, 'etc/greeting': 'second' }, { environment });
    const second = await images.resolve(`${registry.host}/team/moving`);
    expect(second.digest).not.toBe(first.digest);
  });
});

test('an image for several platforms is pulled for this one, and refused with their names when it is not among them', async () => {
  const repository = `${registry.host}/team/program`;
  const digests = {
    amd64: await manifestOf(`${registry.host}/team/program:1`),
    arm64: await copyManifest(`${registry.host}/team/arm:1`, `${repository}:arm64`),
  };
  await pushIndex(repository, 'both', [
    { architecture: 'arm64', ...digests.arm64 },
    { architecture: 'amd64', ...digests.amd64 },
  ]);
  await pushIndex(repository, 'arm-only', [{ architecture: 'arm64', ...digests.arm64 }]);
  expect((await images.resolve(`${repository}:both`)).digest).toBe(digests.amd64.digest);
  const error = await unavailable(`${repository}:arm-only`);
  expect(error.message).toContain('image is linux/arm64, this runner is linux/amd64');
});

/** Digest and size of a manifest in the registry. */
async function manifestOf(reference: string): Promise<{ digest: string; size: number }> {
  const raw = await runCommand(['skopeo', 'inspect', '--raw', '--tls-verify=false', `docker://${reference}`]);
  const size = Buffer.byteLength(raw);
  return { digest: `sha256:${createHash('sha256').update(raw).digest('hex')}`, size };
}

async function copyManifest(from: string, to: string): Promise<{ digest: string; size: number }> {
  const tls = ['--src-tls-verify=false', '--dest-tls-verify=false'];
  await runCommand(['skopeo', 'copy', ...tls, `docker://${from}`, `docker://${to}`]);
  return manifestOf(to);
}

async function pushIndex(
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

describe('conversion', () => {
  test('happens once when several callers want the same image at the same time, in several processes', async () => {
    const reference = `${registry.host}/team/once:1`;
    await pushImage(folder, reference, { ...withPulumi, 'etc/only-here': 'once' }, { environment });
    const script = join(folder, 'resolve.mts');
    const module = repositoryPath('packages/runner/src/images/image-store.ts');
    await writeFile(
      script,
      `import { createImageStore } from ${JSON.stringify(module)};
       const [cacheDirectory, reference] = process.argv.slice(2);
       console.log((await createImageStore({ cacheDirectory }).resolve(reference)).digest);`,
    );
    const digests = await Promise.all([
      images.resolve(reference).then(({ digest }) => digest),
      images.resolve(reference).then(({ digest }) => digest),
      runCommand([nodePath, script, cacheDirectory, reference]).then((text) => text.trim()),
    ]);
    expect(new Set(digests).size).toBe(1);
    expect(registry.requests(/once\/blobs\/sha256/)).toBe(2); // The configuration and the one layer.
  });

  test('that was killed in the middle leaves nothing half-made and is done again', async () => {
    const reference = `${registry.host}/team/program:1`;
    const { digest } = await createImageStore({
      cacheDirectory: await mkdtemp(join(folder, 'cache-')),
    }).resolve(reference);
    const target = join(cacheDirectory, 'images', digest.replace(':', '-'));
    const module = repositoryPath('packages/runner/src/setup/make-once.ts');
    const program = `
      import { makeOnce } from ${JSON.stringify(module)};
      import { mkdirSync, writeFileSync } from 'node:fs';
      await makeOnce(${JSON.stringify(target)}, async (partial) => {
        mkdirSync(partial, { recursive: true });
        writeFileSync(partial + '/image.json', 'half');
        console.log('half-made');
        await new Promise((resolve) => setTimeout(resolve, 60_000));
      });`;
    const killed = spawn(nodePath, ['--input-type=module', '--eval', program], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    await once(killed.stdout, 'data');
    killed.kill('SIGKILL');
    await once(killed, 'exit');
    expect(existsSync(target)).toBe(false);
    const image = await images.resolve(reference);
    expect(image.config.environment.GREETING).toBe('a=b');
    expect(existsSync(`${target}.partial`)).toBe(false);
  });
});

describe('an image that no run could use is refused with its name and the remedy', () => {
  test('when its platform is another', async () => {
    const error = await unavailable(`${registry.host}/team/arm:1`);
    expect(error.message).toContain('image is linux/arm64, this runner is linux/amd64');
  });

  test('when it has no pulumi', async () => {
    const error = await unavailable(`${registry.host}/team/empty:1`);
    expect(error.message).toContain('no `pulumi` on its PATH; install the Pulumi CLI');
    expect((await readdir(join(cacheDirectory, 'images'))).filter((name) => !name.endsWith('.lock'))).toEqual(
      [],
    );
  });

  test('when its pulumi is a link to a program of the host', async () => {
    const reference = `${registry.host}/team/escape:1`;
    await pushImage(folder, reference, {}, { links: { 'usr/bin/pulumi': nodePath } });
    expect((await unavailable(reference)).message).toContain('no `pulumi` on its PATH');
  });

  test('when the registry does not have it', async () => {
    expect((await unavailable(`${registry.host}/team/program:2`)).message).toContain('does not have it');
    expect((await unavailable(`${registry.host}/nobody/nothing`)).message).toContain('does not have it');
  });

  test('when the registry does not answer', async () => {
    expect((await unavailable('127.0.0.1:1/team/program:1')).message).toContain('cannot be reached');
  });

  test('when it was never built here', async () => {
    expect((await unavailable('localhost/slipway/other:1')).message).toContain('./slipway image build');
  });

  test.each([
    '',
    '--help',
    'a b',
    'UPPER/case',
    'name@sha256:12',
    'x'.repeat(600),
    'docker://a/b',
    'a/b:c d',
  ])('when "%s" is not a reference', async (reference) => {
    const error = await images.resolve(reference).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(ImageUnavailableError);
    expect(String(error)).toContain('not an image reference');
  });
});
