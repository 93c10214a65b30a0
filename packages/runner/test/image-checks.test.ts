import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { convert } from '../src/images/convert.ts';
import { type LayerEntry, layerOf } from '../src/testing/layers.ts';
import { writeOciImage } from '../src/testing/oci-image.ts';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'slipway-image-checks-'));
});
afterAll(() => rm(folder, { recursive: true }));

/** Converts an image of these files. */
async function check(entries: readonly LayerEntry[], { user = '', searchPath }: Options = {}) {
  const work = mkdtempSync(join(folder, 'image-'));
  const { layers, digest } = await writeOciImage(work, { layers: [layerOf(entries)] });
  return convert({ reference: 'the-image', digest, layers, searchPath, user }, join(work, 'root.erofs'));
}
type Options = { user?: string; searchPath?: string };

/** A program in C, as the compiler makes it. */
function compiled(compiler: string, ...options: string[]): Buffer {
  const work = mkdtempSync(join(folder, 'program-'));
  writeFileSync(join(work, 'main.c'), 'int main(void) { return 0; }');
  execFileSync(compiler, [...options, '-o', join(work, 'main'), join(work, 'main.c')]);
  return readFileSync(join(work, 'main'));
}

const script = (file: string, more: Partial<LayerEntry> = {}): LayerEntry => ({
  file,
  content: '#!/bin/sh\n',
  mode: 0o755,
  ...more,
});

describe('USER of an image', () => {
  const accounts: LayerEntry[] = [
    script('usr/bin/pulumi'),
    {
      file: 'etc/passwd',
      content: 'root:x:0:0:root:/root:/bin/sh\napp:x:1000:1001::/home/app:/bin/sh\n7:x:8:9::/seven:/bin/sh\n',
    },
    { file: 'etc/group', content: 'root:x:0:\napp:x:1001:\ntools:x:50:app\n' },
  ];
  test.each([
    ['', { userId: 0, groupId: 0, furtherGroupIds: [], home: '/root' }],
    ['root', { userId: 0, groupId: 0, furtherGroupIds: [], home: '/root' }],
    ['app', { userId: 1000, groupId: 1001, furtherGroupIds: [50], home: '/home/app' }],
    ['1000', { userId: 1000, groupId: 1001, furtherGroupIds: [50], home: '/home/app' }],
    ['app:tools', { userId: 1000, groupId: 50, furtherGroupIds: [], home: '/home/app' }],
    ['app:60', { userId: 1000, groupId: 60, furtherGroupIds: [], home: '/home/app' }],
    ['4711', { userId: 4711, groupId: 0, furtherGroupIds: [], home: '/' }],
    ['4711:4712', { userId: 4711, groupId: 4712, furtherGroupIds: [], home: '/' }],
    ['1000660000', { userId: 1_000_660_000, groupId: 0, furtherGroupIds: [], home: '/' }],
    // A name comes before a number.
    ['7', { userId: 8, groupId: 9, furtherGroupIds: [], home: '/seven' }],
  ])('"%s" is the user that Docker takes it for', async (user, expected) => {
    expect((await check(accounts, { user })).user).toEqual(expected);
  });

  test('without a passwd file is root, or a number', async () => {
    const entries = [script('usr/bin/pulumi')];
    expect((await check(entries)).user).toEqual({
      userId: 0,
      groupId: 0,
      furtherGroupIds: [],
      home: '/root',
    });
    expect((await check(entries, { user: '65532:65532' })).user).toMatchObject({
      userId: 65532,
      groupId: 65532,
    });
  });

  test.each([
    ['stranger', 'its USER is "stranger", and there is no user "stranger" in its /etc/passwd; add it.'],
    ['app:strangers', 'there is no group "strangers" in its /etc/group; add it.'],
    ['4294967295', 'there is no user "4294967295"'],
    ['-1', 'there is no user "-1"'],
  ])('"%s" that the image does not know is named', async (user, message) => {
    await expect(check(accounts, { user })).rejects.toThrow(message);
  });
});

describe('pulumi', () => {
  test('is found on the PATH of the image, through links, in its order', async () => {
    await check(
      [
        script('opt/pulumi/bin/pulumi'),
        { symbolicLink: 'usr/local', target: '/opt/pulumi' },
        { symbolicLink: 'current', target: 'usr/local/bin/pulumi' },
        { folder: 'tools' },
        { symbolicLink: 'tools/pulumi', target: '../current' },
      ],
      { searchPath: '/nowhere:relative:/tools/' },
    );
  });

  test('that is not there is named', async () => {
    await expect(check([script('opt/pulumi')])).rejects.toThrow(
      'Executor image "the-image": there is no `pulumi` on its PATH; install the Pulumi CLI in the image, or start from pulumi/pulumi.',
    );
    await expect(check([{ folder: 'usr/bin/pulumi' }])).rejects.toThrow('no `pulumi`');
    await expect(check([{ symbolicLink: 'usr/bin/pulumi', target: 'pulumi' }])).rejects.toThrow(
      'no `pulumi`',
    );
  });

  const app = { user: '1000:1000' };
  test.each<[string, LayerEntry[], Options]>([
    ['nobody may run', [script('usr/bin/pulumi', { mode: 0o644 })], {}],
    ['root alone may run', [script('usr/bin/pulumi', { mode: 0o700 })], app],
    ['others than its owner may run', [script('usr/bin/pulumi', { mode: 0o077, owner: [1000, 1000] })], app],
    ['others than its group may run', [script('usr/bin/pulumi', { mode: 0o707, owner: [0, 1000] })], app],
    ['lies where the user may not look', [{ folder: 'usr/bin', mode: 0o700 }, script('usr/bin/pulumi')], app],
  ])('that %s is named, with the user and its path', async (_what, entries, options) => {
    await expect(check(entries, options)).rejects.toThrow(
      /its user \d+:\d+ may not run \/usr\/bin\/pulumi; make it executable/,
    );
  });

  test.each<[string, LayerEntry[], Options]>([
    [
      'root, whatever the folder',
      [{ folder: 'usr/bin', mode: 0o700, owner: [7, 7] }, script('usr/bin/pulumi')],
      {},
    ],
    ['its owner', [script('usr/bin/pulumi', { mode: 0o700, owner: [1000, 0] })], app],
    ['its group', [script('usr/bin/pulumi', { mode: 0o070, owner: [0, 1000] })], app],
    [
      'the one after a useless one',
      [script('usr/local/bin/pulumi', { mode: 0o700 }), script('usr/bin/pulumi')],
      app,
    ],
  ])('may be run by %s', async (_what, entries, options) => {
    await check(entries, options);
  });

  test('for another processor is named, with both', async () => {
    const program = compiled('gcc', '-static');
    program.writeUInt16LE(183, 18);
    await expect(check([{ file: 'usr/bin/pulumi', content: program, mode: 0o755 }])).rejects.toThrow(
      'its /usr/bin/pulumi is built for aarch64, this runner is x86-64; install the one for linux/amd64.',
    );
  });

  test('that needs a C library other than the image has is named, with its loader', async () => {
    const musl = { file: 'usr/bin/pulumi', content: compiled('musl-gcc'), mode: 0o755 };
    await expect(check([musl])).rejects.toThrow(
      'its /usr/bin/pulumi needs the loader /lib/ld-musl-x86_64.so.1, which the image does not have',
    );
    await check([musl, { file: 'lib/ld-musl-x86_64.so.1', mode: 0o755 }]);
    await check([{ file: 'usr/bin/pulumi', content: compiled('musl-gcc', '-static'), mode: 0o755 }]);
  });

  test('whose header is damaged is no reason to read beyond it', async () => {
    const program = compiled('gcc', '-static');
    program.writeBigUInt64LE(2n ** 62n, 32);
    await check([{ file: 'usr/bin/pulumi', content: program, mode: 0o755 }]);
    await check([{ file: 'usr/bin/pulumi', content: program.subarray(0, 70), mode: 0o755 }]);
  });
});
