import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buildDefaultImage, cacheDirectory } from '@slipway/runner';
import { afterAll, beforeAll, expect, test } from 'vitest';
import * as z from 'zod';
import { StoreFolder } from '../packages/runner/src/images/store-folder.ts';
import { type LayerEntry, layerOf } from '../packages/runner/src/testing/layers.ts';
import type { OciImage } from '../packages/runner/src/testing/oci-image.ts';
import { push, startRegistry, type TestRegistry } from '../packages/runner/test/image-registry.ts';
import { expectSuccess } from './testing/pulumi-user.ts';
import { addExample, finishedDeployment, type SlipwayUnderTest, startSlipway } from './testing/slipway.ts';

let folder: string;
let registry: TestRegistry;
let slipway: SlipwayUnderTest;
const pushed: string[] = [];

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'slipway-executor-images-'));
  registry = await startRegistry(join(folder, 'registry'));
  slipway = await startSlipway({ allowPrivateRegistries: [registry.host] });
  await addExample(slipway, 'greeting');
  await slipway.publish();
  expectSuccess(await slipway.pulumi(['login', slipway.url]));
}, 120_000);

afterAll(async () => {
  await slipway?.close();
  await registry?.[Symbol.asyncDispose]();
  for (const path of [folder, ...pushed]) await rm(path, { recursive: true, force: true });
});

/** Pushes an image; its device does not outlive the tests. */
async function pushAs(name: string, image: OciImage): Promise<string> {
  const repository = `${registry.host}/${name}`;
  const reference = `${repository}:1`;
  const { digest } = await push(folder, reference, image);
  pushed.push(new StoreFolder(cacheDirectory(process.env)).device(digest, repository));
  return reference;
}

/** The layers of the default image, which has `git`, `pulumi` and Node. */
async function defaultLayers(): Promise<Buffer[]> {
  const cache = { cacheDirectory: cacheDirectory(process.env), report: () => {} };
  const { layoutPath, digest } = await buildDefaultImage(cache);
  const blob = (name: string) => readFile(join(layoutPath, 'blobs', ...name.split(':')));
  const manifest = z.object({ layers: z.array(z.object({ digest: z.string() })) });
  const { layers } = manifest.parse(JSON.parse((await blob(digest)).toString()));
  return Promise.all(layers.map((layer) => blob(layer.digest)));
}

/** Runs an operation of a new stack in an image, with the real CLI, which shows the log. */
async function run(stack: string, operation: string, image: string, ...more: string[]) {
  const name = `local/greeting/${stack}`;
  const pulumi = (...args: string[]) => slipway.pulumi([...args, '--stack', name], { folder: 'greeting' });
  expectSuccess(await slipway.pulumi(['stack', 'init', name], { folder: 'greeting' }));
  const finished = await pulumi(
    ...[
      'deployment',
      'run',
      operation,
      slipway.repositoryUrl,
      '--git-branch',
      'main',
      '--git-repo-dir',
      'greeting',
    ],
    ...['--skip-install-dependencies', '--suppress-stream-logs=false', '--executor-image', image, ...more],
  );
  return { said: finished.stdout + finished.stderr, deployment: await finishedDeployment(slipway, name) };
}

test('an image with a user of its own runs the whole of an update as that user', async () => {
  const entries: LayerEntry[] = [
    { file: 'etc/passwd', content: 'root:x:0:0::/root:/bin/sh\napp:x:1000:1001::/home/app:/bin/sh\n' },
    { file: 'etc/group', content: 'root:x:0:\napp:x:1001:\ntools:x:50:app\n' },
    { folder: 'home/app', owner: [1000, 1001], mode: 0o700 },
    { file: 'home/app/own', owner: [1000, 1001], mode: 0o600, content: 'of the user' },
    { file: 'secret', mode: 0o600, content: 'of root' },
  ];
  const image = await pushAs('with-user', {
    layers: [...(await defaultLayers()), layerOf(entries)],
    config: {
      User: 'app',
      Env: ['PATH=/usr/local/bin:/usr/bin:/bin'],
      WorkingDir: '/srv',
      Entrypoint: ['/bin/false'],
    },
  });
  const command =
    'echo "I am $(id -un) in $(id -Gn), at $HOME, in $PWD"; cat ~/own; cat /secret || echo refused';
  const { said, deployment } = await run('with-user', 'update', image, '--pre-run-command', command);
  expect(said).toContain('I am app in app tools, at /home/app, in /deployment/greeting');
  expect(said).toContain('of the user');
  expect(said).toContain('refused');
  expect(deployment).toMatchObject({ outcome: 'succeeded' });
}, 180_000);

test('an image without a shell and without curl runs what needs neither', async () => {
  const names = ['sh', 'bash', 'dash', 'rbash', 'curl', 'perl'];
  const gone = names.map((name): LayerEntry => ({ file: `usr/bin/.wh.${name}` }));
  const image = await pushAs('without-shell', { layers: [...(await defaultLayers()), layerOf(gone)] });
  const { said, deployment } = await run('without-shell', 'destroy', image);
  expect(said).toContain('pulumi destroy');
  expect(deployment).toMatchObject({ outcome: 'succeeded' });
  const { deployment: other } = await run('wants-shell', 'destroy', image, '--pre-run-command', 'true');
  expect(other).toMatchObject({
    cause: 'image-unavailable',
    message: expect.stringContaining('has no program "/bin/sh"'),
  });
}, 180_000);

test('an image with another C library runs its own programs, and the executor beside them', async () => {
  // Of git and pulumi it has just enough to see that the image's own are run.
  const program = (file: string, main: string): LayerEntry => ({
    file,
    mode: 0o755,
    content: compiledWithMusl(main),
  });
  const image = await pushAs('musl', {
    layers: [
      layerOf([
        program(
          'usr/bin/git',
          'if (contains("checkout")) fclose(fopen("Pulumi.yaml", "w")); puts("git of musl");',
        ),
        program('usr/bin/pulumi', 'puts("pulumi of musl"); return contains("destroy") ? 0 : 1;'),
        { file: 'lib/ld-musl-x86_64.so.1', mode: 0o755, content: readFileSync('/lib/ld-musl-x86_64.so.1') },
      ]),
    ],
  });
  const { said, deployment } = await run('musl', 'destroy', image, '--git-repo-dir', '');
  expect(said).toContain('git of musl');
  expect(said).toContain('pulumi of musl');
  expect(deployment).toMatchObject({ outcome: 'succeeded', sandbox: { imageReference: image } });
}, 120_000);

function compiledWithMusl(main: string): Buffer {
  const source = `
    #include <stdio.h>
    #include <string.h>
    static char **words;
    static int contains(const char *word) {
      for (char **each = words; *each; each++) if (strcmp(*each, word) == 0) return 1;
      return 0;
    }
    int main(int count, char **arguments) { words = arguments; ${main} return 0; }`;
  const work = mkdtempSync(join(folder, 'program-'));
  writeFileSync(join(work, 'main.c'), source);
  execFileSync('musl-gcc', ['-o', join(work, 'main'), join(work, 'main.c')]);
  return readFileSync(join(work, 'main'));
}
