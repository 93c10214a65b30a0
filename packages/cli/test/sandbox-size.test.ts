import { expect, test } from 'vitest';
import { sandboxSizeWithin } from '../src/sandbox-size.ts';

const nothingAsked = { cpus: undefined, memoryMiB: undefined, volumeGiB: undefined };
const roomy = { cpus: 8, memoryMiB: 32_000, volumeGiB: 200 };

test('a sandbox has 2 CPUs, 8 GiB of memory and 32 GiB of disk where the host has them', () => {
  expect(sandboxSizeWithin(roomy, nothingAsked, 3)).toEqual({
    size: { cpus: 2, memoryMiB: 8192, volumeGiB: 32 },
    remarks: [],
  });
});

test('a smaller host gives what it has, and says so with the flag that changes it', () => {
  const { size, remarks } = sandboxSizeWithin({ ...roomy, memoryMiB: 3_500.7 }, nothingAsked, 1);
  expect(size).toEqual({ cpus: 2, memoryMiB: 3500, volumeGiB: 32 });
  expect(remarks).toEqual([
    'A sandbox has 3500 MiB of memory, all that this host can give, in place of 8192; --memory-mib and --overcommit-memory change that.',
  ]);
});

test('a size that was asked for and is not there is refused', () => {
  expect(() => sandboxSizeWithin(roomy, { ...nothingAsked, volumeGiB: 500 }, 1)).toThrow(
    /can give a sandbox 200 GiB of disk, and --volume-gib asks for 500.*--overcommit-disk/,
  );
  expect(() => sandboxSizeWithin({ ...roomy, volumeGiB: 0.4 }, nothingAsked, 1)).toThrow(/0 GiB of disk/);
});

test('more runs at once than there is room for are pointed out', () => {
  const { remarks } = sandboxSizeWithin(roomy, { ...nothingAsked, memoryMiB: 16_000 }, 4);
  expect(remarks).toEqual([
    '4 runs at once were asked for with --runners; this host has room for 2 of this size. Choose less with --cpus, --memory-mib, --volume-gib.',
  ]);
});
