import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, lstatSync, mkdirSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { mkdtemp, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { usualLimits } from '../src/images/convert/limits.ts';
import { convert } from '../src/images/convert.ts';
import { runCommand } from '../src/setup/run-command.ts';
import {
  headerBlock,
  type LayerEntry,
  layerOf,
  pack,
  paxBlocks,
  paxRecord,
  tarOf,
} from '../src/testing/layers.ts';
import { writeOciImage } from '../src/testing/oci-image.ts';

/** What every image here has, so that it is one that a run could use. */
const pulumi: LayerEntry[] = [
  { folder: 'usr' },
  { folder: 'usr/bin' },
  { file: 'usr/bin/pulumi', content: '#!/bin/sh\n', mode: 0o755 },
];

let folder: string;
let device: string;
let work: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'slipway-conversion-'));
});
afterAll(() => rm(folder, { recursive: true }));
beforeEach(async () => {
  work = await mkdtemp(join(folder, 'image-'));
  device = join(work, 'root.erofs');
});

type Options = { limits?: Partial<typeof usualLimits>; user?: string; searchPath?: string };

/** Converts layers into `device`. */
async function convertLayers(layers: readonly Buffer[], { limits, user = '', searchPath }: Options = {}) {
  const { layers: paths, digest } = await writeOciImage(join(work, 'layout'), { layers });
  return convert({ reference: 'the-image', digest, layers: paths, searchPath, user }, device, {
    limits: { ...usualLimits, ...limits },
  });
}

/** Everything that a file system tells of itself, path by path. */
function contentsOf(root: string): Map<string, object> {
  const contents = new Map<string, object>();
  const attributes = attributesOf(root);
  const inodes = new Map<number, string>();
  const visit = (path: string) => {
    const status = lstatSync(Buffer.from(root + path, 'latin1'), { bigint: true });
    const inode = Number(status.ino);
    contents.set(path, {
      mode: status.mode.toString(8),
      owner: `${status.uid}:${status.gid}`,
      modified: String(status.mtimeNs),
      device: status.isCharacterDevice() ? Number(status.rdev) : undefined,
      // Hard links: the first path that leads to the same inode.
      sameAs: status.isDirectory() ? undefined : (inodes.get(inode) ?? path),
      links: status.isDirectory() ? undefined : Number(status.nlink),
      content: status.isFile() ? digestOf(readFileSync(Buffer.from(root + path, 'latin1'))) : undefined,
      target: status.isSymbolicLink()
        ? readlinkSync(Buffer.from(root + path, 'latin1'), { encoding: 'latin1' })
        : undefined,
      attributes: attributes.get(path),
    });
    if (!inodes.has(inode)) inodes.set(inode, path);
    if (!status.isDirectory()) return;
    const names = readdirSync(Buffer.from(root + path, 'latin1'), { encoding: 'latin1' });
    for (const name of names.sort()) visit(path === '/' ? `/${name}` : `${path}/${name}`);
  };
  visit('/');
  return contents;
}

function attributesOf(root: string): Map<string, string> {
  const text = execFileSync(
    'getfattr',
    ['-R', '-h', '-d', '-m', '-', '-e', 'hex', '--absolute-names', root],
    {
      encoding: 'latin1',
      stdio: ['ignore', 'pipe', 'ignore'],
    },
  );
  return new Map(
    text.split('\n\n').flatMap((block): [string, string][] => {
      const [file = '', ...values] = block.trim().split('\n');
      return values.length > 0
        ? [[file.replace(`# file: ${root}`, '') || '/', values.sort().join('\n')]]
        : [];
    }),
  );
}

const digestOf = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex');

/** What the device holds, as the kernel reads it; `fsck.erofs` has no objection to it. */
async function mounted<T>(look: (root: string) => T): Promise<T> {
  await runCommand(['fsck.erofs', device]);
  const mountPoint = join(work, 'mounted');
  mkdirSync(mountPoint);
  await runCommand(['mount', '-t', 'erofs', '-o', 'loop,ro', device, mountPoint]);
  try {
    return look(mountPoint);
  } finally {
    await runCommand(['umount', mountPoint]);
  }
}

/** The same layers as umoci unpacks them, with root rights. */
async function unpackedByUmoci(layers: readonly Buffer[]): Promise<Map<string, object>> {
  await writeOciImage(join(work, 'reference'), { layers });
  await runCommand(['umoci', 'unpack', '--image', `${join(work, 'reference')}:image`, join(work, 'bundle')]);
  return contentsOf(join(work, 'bundle/rootfs'));
}

describe('layers become the file system that umoci makes of them:', () => {
  const cases: Readonly<Record<string, readonly (readonly LayerEntry[])[]>> = {
    'files, folders and links of every kind, with owners, modes and times': [
      [
        { folder: '.', mode: 0o755, modifiedAt: 1_600_000_000 },
        ...pulumi,
        { folder: 'home', owner: [1000, 1000], mode: 0o700 },
        {
          file: 'home/notes',
          content: 'hello',
          owner: [1000, 100],
          mode: 0o600,
          modifiedAt: 1_500_000_000.25,
        },
        { file: 'home/large-ids', owner: [3_000_000_000, 4_000_000_000] },
        { file: 'usr/bin/su', content: 'x', mode: 0o4755 },
        { file: 'usr/bin/wall', content: 'x', mode: 0o2755, owner: [0, 5] },
        { folder: 'tmp', mode: 0o1777 },
        { symbolicLink: 'bin', target: 'usr/bin' },
        { symbolicLink: 'home/absolute', target: '/usr/bin/pulumi' },
        { symbolicLink: 'home/long', target: `${'deep/'.repeat(100)}end` },
        { hardLink: 'home/again', target: 'home/notes' },
        { device: 'null', major: 1, minor: 3, mode: 0o666 },
        { device: 'far', major: 511, minor: 70_000 },
        { fifo: 'pipe', mode: 0o640 },
      ],
    ],
    'contents of every size around a block': [
      [
        ...pulumi,
        ...[0, 1, 2047, 2048, 2049, 4031, 4032, 4033, 4095, 4096, 4097, 8192, 100_000, 3_000_000].map(
          (bytes): LayerEntry => ({ file: `of-${bytes}`, content: Buffer.alloc(bytes, `${bytes} `) }),
        ),
      ],
    ],
    'names of every length and of bytes that are no text': [
      [
        ...pulumi,
        { folder: 'long' },
        { file: `long/${'n'.repeat(255)}`, content: 'n' },
        { file: 'long/\xff\xfe', content: 'bytes' },
        { file: 'long/a b\nc', content: 'spaces' },
        { file: `long/${Buffer.from('größe').toString('latin1')}`, content: 'utf-8' },
        ...Array.from(
          { length: 30 },
          (_, depth): LayerEntry => ({ folder: 'deep/'.repeat(depth + 1).slice(0, -1) }),
        ),
        { file: `${'deep/'.repeat(30)}end`, content: 'end' },
      ],
    ],
    'a folder of many names': [
      [
        ...pulumi,
        { folder: 'many' },
        ...Array.from(
          { length: 700 },
          (_, index): LayerEntry => ({
            file: `many/${'name'.repeat(index % 20)}-${index}`,
            content: String(index),
          }),
        ),
      ],
    ],
    'extended attributes, capabilities among them': [
      [
        ...pulumi,
        {
          file: 'usr/bin/ping',
          mode: 0o755,
          attributes: {
            'user.note': 'of a user',
            'user.empty': '',
            'user.large': 'x'.repeat(3000),
            'security.capability': Buffer.from('0100000200200000000000000000000000000000', 'hex'),
          },
        },
        { folder: 'marked', attributes: { 'user.folder': 'yes' } },
      ],
    ],
    'a later layer replaces, of whatever kind, and adds to folders': [
      [
        ...pulumi,
        { folder: 'a' },
        { file: 'a/file', content: 'old' },
        { folder: 'a/folder' },
        { file: 'a/folder/inside', content: 'old' },
        { symbolicLink: 'a/link', target: 'file' },
        { file: 'a/kept', content: 'kept' },
        { file: 'a/big', content: Buffer.alloc(10_000, 'o') },
      ],
      [
        { folder: 'a', mode: 0o711, owner: [7, 8] },
        { folder: 'a/file' },
        { file: 'a/file/inside', content: 'new' },
        { file: 'a/folder', content: 'now a file' },
        { file: 'a/link', content: 'now a file' },
        { file: 'a/big', content: Buffer.alloc(9_000, 'n') },
      ],
    ],
    'whiteouts hide what lower layers have, and nothing of their own': [
      [
        ...pulumi,
        { folder: 'a' },
        { file: 'a/gone', content: 'x' },
        { file: 'a/both', content: 'x' },
        { file: 'a/both-too', content: 'x' },
        { file: 'a/kept', content: 'x' },
        { folder: 'a/folder' },
        { file: 'a/folder/gone', content: 'x' },
        { symbolicLink: 'a/link', target: 'kept' },
      ],
      [
        { folder: 'a' },
        { file: 'a/.wh.gone' },
        { file: 'a/.wh.folder' },
        { file: 'a/.wh.link' },
        { file: 'a/.wh.never-there' },
        { file: 'a/both', content: 'new' },
        { file: 'a/.wh.both' },
        { file: 'a/.wh.both-too' },
        { file: 'a/both-too', content: 'new' },
        { folder: 'a/new' },
        { file: 'a/new/file', content: 'new' },
      ],
    ],
    'an opaque folder hides all that lower layers have in it, and nothing of its own': [
      [
        ...pulumi,
        { folder: 'a' },
        { folder: 'a/b' },
        { file: 'a/b/gone', content: 'x' },
        { folder: 'a/b/c' },
        { file: 'a/b/c/gone', content: 'x' },
        { file: 'a/kept', content: 'x' },
      ],
      [
        { folder: 'a' },
        { folder: 'a/b', mode: 0o750 },
        { file: 'a/b/.wh..wh..opq' },
        { file: 'a/b/own', content: 'own' },
      ],
    ],
    'hard links across layers, and after one of their names is gone': [
      [
        ...pulumi,
        { folder: 'a' },
        { file: 'a/one', content: 'shared' },
        { hardLink: 'a/two', target: 'a/one' },
      ],
      [{ folder: 'a' }, { hardLink: 'a/three', target: 'a/two' }],
      [{ folder: 'a' }, { file: 'a/.wh.one' }],
    ],
    'entries below links of lower layers land where the links lead, within the image': [
      [
        ...pulumi,
        { folder: 'real' },
        { symbolicLink: 'link', target: 'real' },
        { symbolicLink: 'up', target: '../../../../real' },
        { folder: 'deep' },
        { symbolicLink: 'deep/etc', target: '/real' },
      ],
      [
        { file: 'link/one', content: '1' },
        { file: 'up/two', content: '2' },
        { file: 'deep/etc/three', content: '3' },
        { file: '../../../four', content: '4' },
        { file: '/five', content: '5' },
        { hardLink: 'real/six', target: 'link/one' },
      ],
    ],
    'a hundred layers': Array.from({ length: 100 }, (_, layer) => [
      ...(layer === 0 ? pulumi : []),
      { file: `of-layer-${layer}`, content: String(layer) },
      { file: 'last', content: `written by ${layer}` },
      ...(layer % 3 === 2 ? [{ file: `.wh.of-layer-${layer - 1}` }] : []),
    ]),
  };
  test.each(Object.entries(cases))('%s', async (_what, layers) => {
    const packed = layers.map((entries) => layerOf(entries));
    await convertLayers(packed);
    const reference = await unpackedByUmoci(packed);
    expect(await mounted(contentsOf)).toEqual(reference);
  });

  test('layers that are not packed, and those packed with zstd in one frame or several', async () => {
    const entries: LayerEntry[] = [...pulumi, { file: 'file', content: Buffer.alloc(500_000, 'content') }];
    const tar = tarOf(entries);
    const frames = [tar.subarray(0, 100_000), tar.subarray(100_000)].map((part) => pack(part, 'zstd'));
    const skipped = Buffer.from('502a4d180400000000000000', 'hex');
    const reference = await unpackedByUmoci([layerOf(entries)]);
    for (const layer of [
      tar,
      pack(tar, 'zstd'),
      Buffer.concat(frames),
      Buffer.concat([skipped, ...frames]),
    ]) {
      await rm(device, { force: true });
      await rm(join(work, 'mounted'), { recursive: true, force: true });
      await convertLayers([layer]);
      expect(await mounted(contentsOf)).toEqual(reference);
    }
  });

  test('random layers over one another', async () => {
    const layers = randomLayers(20_261_124).map((entries) => layerOf(entries));
    await convertLayers(layers);
    expect(await mounted(contentsOf)).toEqual(await unpackedByUmoci(layers));
  });
});

/** Eight layers that write, link, replace and hide in a few folders, the same ones for the same seed. */
function randomLayers(seed: number): LayerEntry[][] {
  let state = seed;
  const below = (limit: number) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * limit);
  };
  const folders = ['a', 'a/b', 'a/b/c', 'd'];
  return Array.from({ length: 8 }, (_, layer) => {
    const entries: LayerEntry[] = layer === 0 ? [...pulumi] : [];
    entries.push(...folders.map((name): LayerEntry => ({ folder: name, mode: 0o700 + below(64) })));
    const taken = new Set<string>();
    const files: string[] = [];
    for (let index = 0; index < 40; index += 1) {
      const parent = folders[below(folders.length)];
      const name = `f${below(12)}`;
      const path = `${parent}/${name}`;
      if (taken.has(path)) continue;
      taken.add(path);
      const [target] = files;
      const kind = below(layer === 0 ? 3 : 5);
      if (kind === 0) entries.push({ symbolicLink: path, target: `f${below(12)}` });
      else if (kind === 1 && target) entries.push({ hardLink: path, target });
      else if (kind === 4) entries.push({ file: `${parent}/.wh.${name}` });
      else {
        files.push(path);
        entries.push({ file: path, content: Buffer.alloc(below(9000), name), owner: [below(3), below(3)] });
      }
    }
    return entries;
  });
}

test('attributes that would steer the host, and nothing else, are left out', async () => {
  const attributes = {
    'user.kept': 'yes',
    'trusted.overlay.opaque': 'y',
    'trusted.other': 'x',
    'odd.prefix': 'x',
  };
  await convertLayers([layerOf([...pulumi, { folder: 'a', attributes }])]);
  const found = await mounted(attributesOf);
  expect(found.get('/a')).toBe('user.kept=0x796573');
});

test('a file that a later layer writes anew takes its place in the device', async () => {
  const version = (letter: string) =>
    layerOf([...pulumi, { file: 'large', content: Buffer.alloc(4 << 20, letter) }]);
  await convertLayers(['a', 'b', 'c', 'd', 'e'].map(version));
  expect((await stat(device)).size).toBeLessThan(5 << 20);
  expect(await mounted((root) => readFileSync(join(root, 'large'), 'latin1').slice(0, 3))).toBe('eee');
});

describe('a layer that would fill the disk is stopped, with its name and the limit:', () => {
  const refusal = async (layers: readonly Buffer[], limits: Partial<typeof usualLimits>) => {
    const error = await convertLayers(layers, { limits }).catch((thrown: unknown) => thrown);
    if (!(error instanceof Error)) throw new Error('it was not refused');
    expect(error.message).toContain('"the-image"');
    return error.message;
  };
  const bytesOnDisk = async () => (existsSync(device) ? (await stat(device)).blocks * 512 : 0);

  test.each(['gzip', 'zstd'] as const)(
    'one of a few kilobytes that unpacks to 256 MiB (%s)',
    async (packing) => {
      const bytes = 256 << 20;
      const layer = pack(
        Buffer.concat([headerBlock({ name: 'zeros', type: '0', size: bytes }), Buffer.alloc(bytes)]),
        packing,
      );
      expect(layer.length).toBeLessThan(2 << 20);
      expect(await refusal([layer], { unpackedBytes: 64 << 20 })).toMatch(
        /unpack to more than the 0\.1 GiB allowed/,
      );
      expect(await bytesOnDisk()).toBeLessThan(80 << 20);
    },
  );

  test('several that are too much together', async () => {
    const layer = layerOf([...pulumi, { file: 'zeros', content: Buffer.alloc(30 << 20) }]);
    expect(await refusal([layer, layer, layer], { unpackedBytes: 64 << 20 })).toMatch(/unpack to more/);
  });

  test('one of very many files', async () => {
    const entries = Array.from({ length: 2000 }, (_, index): LayerEntry => ({ file: `f${index}` }));
    expect(await refusal([layerOf(entries)], { entries: 1000 })).toMatch(/more than the 1000 files allowed/);
  });

  test('one of very many folders in a single name', async () => {
    const entries: LayerEntry[] = [{ file: `${'d/'.repeat(1500)}f` }];
    expect(await refusal([layerOf(entries)], { entries: 1000 })).toMatch(/more than the 1000 files allowed/);
  });

  test('one of very large attributes', async () => {
    const attributes = { 'user.large': 'x'.repeat(60_000) };
    const entries = Array.from({ length: 30 }, (_, index): LayerEntry => ({ file: `f${index}`, attributes }));
    expect(await refusal([layerOf(entries)], { metadataBytes: 1 << 20 })).toMatch(
      /more than the 1 MiB allowed/,
    );
  });

  test('a sparse file, of which a few bytes stand for many', async () => {
    const records = paxRecord('GNU.sparse.realsize', String(2 ** 50)) + paxRecord('GNU.sparse.major', '1');
    const layer = Buffer.concat([...paxBlocks(records), headerBlock({ name: 'sparse', type: '0', size: 0 })]);
    expect(await refusal([layer], {})).toContain('"sparse" is stored as a sparse file');
    await rm(device);
    expect(await refusal([headerBlock({ name: 'old', type: 'S', size: 0 })], {})).toContain(
      '"old" is stored',
    );
  });

  test('an extended header without an end', async () => {
    const layer = Buffer.concat([headerBlock({ name: 'pax', type: 'x', size: 2 ** 32 }), Buffer.alloc(4096)]);
    expect(await refusal([layer], {})).toContain('more than 1 MiB');
  });
});

describe('a layer that is none is refused:', () => {
  const whole = layerOf([...pulumi, { file: 'file', content: Buffer.alloc(100_000, 'content') }]);
  const tar = tarOf([...pulumi, { file: 'file', content: Buffer.alloc(100_000, 'content') }]);
  const damaged = Buffer.from(whole);
  damaged.fill(0x55, 100, 140);
  test.each([
    ['gzip that ends early', whole.subarray(0, 300), /damaged/],
    ['gzip with changed bytes', damaged, /damaged/],
    ['zstd that ends early', pack(tar, 'zstd').subarray(0, 100), /damaged/],
    ['tar that ends in a file', tar.subarray(0, 50_000), /ends in the middle/],
    ['tar that ends in a header', tar.subarray(0, 700), /ends in the middle/],
    ['no tar', Buffer.alloc(10_000, 'x'), /no tar archive/],
    ['a hard link to nothing', layerOf([...pulumi, { hardLink: 'a', target: 'b' }]), /hard link to "b"/],
    ['a hard link to a folder', layerOf([...pulumi, { hardLink: 'a', target: 'usr' }]), /hard link to "usr"/],
    [
      'a file below a file',
      layerOf([...pulumi, { file: 'usr/bin/pulumi/x' }]),
      /below something that is no folder/,
    ],
    ['links in a circle', layerOf([{ symbolicLink: 'a', target: 'a' }, { file: 'a/x' }]), /no folder/],
    ['a name that is too long', layerOf([{ file: 'n'.repeat(256) }]), /none that Linux knows/],
    ['a file at the root', layerOf([{ file: './' }]), /no folder|its root|no `pulumi`/],
  ])('%s', async (_what, layer, message) => {
    await expect(convertLayers([layer])).rejects.toThrow(message);
  });
});
