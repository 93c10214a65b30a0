import { expect, test } from 'vitest';
import { sandboxSizeWithin } from '../src/sandbox-size.ts';

const nothingAsked = { cpus: undefined, memoryMiB: undefined, volumeGiB: undefined };
const roomy = { cpus: 8, memoryMiB: 32_000, volumeGiB: 200 };
const hostOf = (room: Partial<typeof roomy> = {}, cacheDiskGiB = 16) => ({
  ...{ room: { ...roomy, ...room }, cacheDiskGiB },
});

test('a sandbox has 2 CPUs, 8 GiB of memory and 32 GiB of disk where the host has them', () => {
  expect(sandboxSizeWithin(hostOf(), nothingAsked, 3)).toEqual({
    size: { cpus: 2, memoryMiB: 8192, volumeGiB: 32 },
    remarks: [],
  });
});

test('a smaller host gives what it has, and says so with the flag that changes it', () => {
  const { size, remarks } = sandboxSizeWithin(hostOf({ memoryMiB: 3_500.7 }), nothingAsked, 1);
  expect(size).toEqual({ cpus: 2, memoryMiB: 3500, volumeGiB: 32 });
  expect(remarks).toEqual([
    'A sandbox has 3500 MiB of memory, all that this host can give, in place of 8192; --memory-mib and --overcommit-memory change that.',
  ]);
});

test('a size that was asked for and is not there is refused', () => {
  expect(() => sandboxSizeWithin(hostOf(), { ...nothingAsked, volumeGiB: 500 }, 1)).toThrow(
    /can give a sandbox 200 GiB of disk, and --volume-gib asks for 500.*--overcommit-disk/,
  );
  expect(() => sandboxSizeWithin(hostOf({ volumeGiB: 0.4 }), nothingAsked, 1)).toThrow(/0 GiB of disk/);
});

test('more runs at once than there is room for are pointed out', () => {
  const { remarks } = sandboxSizeWithin(hostOf(), { ...nothingAsked, memoryMiB: 16_000 }, 4);
  expect(remarks).toEqual([
    '4 runs at once were asked for with --runners; this host has room for 2 of this size. Choose less with --cpus, --memory-mib, --volume-gib.',
  ]);
});

test.each([
  [47, 16, 31],
  [20, 16, 10],
  [47, 0, 32],
  [20, 0, 20],
])(
  'of %i GiB of disk, with up to %i beside it for dependencies, a volume gets %i',
  (disk, beside, expected) => {
    const { size } = sandboxSizeWithin(hostOf({ volumeGiB: disk }, beside), nothingAsked, 1);
    expect(size.volumeGiB).toBe(expected);
  },
);

test('a volume that leaves no room for the dependency cache is given as asked for, and that is pointed out', () => {
  const asked = { ...nothingAsked, volumeGiB: 40 };
  expect(sandboxSizeWithin(hostOf({ volumeGiB: 50 }), asked, 1)).toEqual({
    size: { cpus: 2, memoryMiB: 8192, volumeGiB: 40 },
    remarks: [
      'Runs that cache dependencies find no room here, since these are installed beside the volume: 56 GiB of disk are needed and 50 are left. Choose less with --volume-gib, or keep none with --dependency-cache-gib 0.',
    ],
  });
  expect(sandboxSizeWithin(hostOf({ volumeGiB: 56 }), asked, 1).remarks).toEqual([]);
});
