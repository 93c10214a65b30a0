import { describe, expect, test } from 'vitest';
import { findMemoryKills } from '../src/isolation/kernel-log.ts';
import { explainMemory, explainShortages, type Shortages } from '../src/isolation/shortages.ts';
import { type Folder, tellingFolders } from '../src/isolation/telling-folders.ts';

const size = { cpus: 2, memoryMiB: 8192, volumeGiB: 32 };
const none: Shortages = { memory: null, processRefusals: 0, volume: null };

describe('the folders that tell what a volume was filled with', () => {
  const folder = (path: string, bytes: number, files = 1): Folder => ({ path, bytes, files });

  test('are as deep as one folder is to blame, do not lie in each other, and come by size', () => {
    const folders = [
      ...[folder('/deployment', 1000), folder('/deployment/infra', 990)],
      ...[folder('/deployment/infra/node_modules', 500), folder('/deployment/infra/dist', 490)],
      ...[folder('/root', 300), folder('/root/.cache', 299), folder('/root/.cache/pip', 298)],
      ...[folder('/tmp', 10), folder('/etc', 0)],
    ];
    expect(tellingFolders(folders, 'bytes').map(({ path }) => path)).toEqual([
      '/deployment/infra',
      '/root/.cache/pip',
    ]);
  });

  test('are another matter by the number of their files', () => {
    const folders = [folder('/large', 1000, 1), folder('/many', 10, 5000), folder('/many/files', 10, 4999)];
    expect(tellingFolders(folders, 'files').map(({ path }) => path)).toEqual(['/many/files']);
  });

  test('may be none', () => {
    expect(tellingFolders([], 'bytes')).toEqual([]);
  });
});

describe('a death for want of memory names', () => {
  const memory = {
    ...{ kills: 1, process: { name: 'MainThread', memoryMiB: 7801.4 } },
    ...{ peakMiB: 8100, limitMiB: 8100 },
  };

  test('the process as users know it, the limit and the peak', () => {
    expect(explainMemory({ ...memory, outOf: 'container' }, size)).toEqual({
      cause: 'out-of-memory',
      message:
        'The kernel killed the process "node", which used 7,801 MiB, at the memory limit of 8,100 MiB, which a sandbox of 8,192 MiB leaves to the run; the peak was 8,100 MiB.',
    });
  });

  test('the host when the sandbox had not reached its limit', () => {
    const killed = { ...memory, process: null, peakMiB: 900, limitMiB: 8192, outOf: 'host' } as const;
    const { cause, message } = explainMemory(killed, size);
    expect(cause).toBe('host-out-of-memory');
    expect(message).toContain('The kernel of the host killed a process');
    expect(message).toContain('peak was 900 MiB of 8,192 MiB');
  });
});

test('of several shortages the deadliest is told: memory, then the volume, then processes', () => {
  const volume = { freeBytes: 0, freeFiles: 0, totalFiles: 2000, folders: [] };
  const memory = { kills: 1, process: null, outOf: 'container', peakMiB: 1, limitMiB: 1 } as const;
  const causeOf = (shortages: Partial<Shortages>) => explainShortages({ ...none, ...shortages }, size)?.cause;
  expect(causeOf({ memory, volume, processRefusals: 3 })).toBe('out-of-memory');
  expect(causeOf({ volume, processRefusals: 3 })).toBe('inodes-exhausted');
  expect(causeOf({ volume: { ...volume, freeFiles: 1 }, processRefusals: 3 })).toBe('disk-full');
  expect(causeOf({ volume: { ...volume, freeFiles: 1, freeBytes: 2 ** 30 }, processRefusals: 3 })).toBe(
    'process-limit',
  );
  expect(causeOf({})).toBeUndefined();
});

test('the kernel log tells which process was killed, and at the limit of which group', () => {
  // Linux 6.18 with cgroup v1, twice, and 6.1 with v2, where the machine itself had no memory left.
  const records = [
    '4,801,1,-;dd invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0, oom_score_adj=0',
    '6,811,1,-;oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=/,mems_allowed=0,oom_memcg=/api/slipway-run-1,task_memcg=/api/slipway-run-1,task=dd,pid=4711,uid=0',
    '3,812,1,-;Memory cgroup out of memory: Killed process 4711 (dd) total-vm:525596kB, anon-rss:260096kB, file-rss:768kB, shmem-rss:0kB, UID:0 pgtables:560kB oom_score_adj:0',
    '6,821,1,-;oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null)\n',
    '3,822,1,-;Buffer I/O error on device loop2, logical block 33284\n',
    '4,823,1,c;,cpuset=/,mems_allowed=0,oom_memcg=/api/slipway-run-2,task_memcg=\n',
    '3,824,1,-;Buffer I/O error on device loop2, logical block 33285\n',
    '4,825,1,c;/api/slipway-run-2\n',
    '4,826,1,c;,task=dd,pid=4712,uid=0\n',
    '3,827,1,-;Memory cgroup out of memory: Killed process 4712 (dd) total-vm:525596kB, anon-rss:260096kB, file-rss:768kB, shmem-rss:0kB, UID:0 pgtables:560kB oom_score_adj:0\n',
    '6,901,2,-;oom-kill:constraint=CONSTRAINT_NONE,nodemask=(null),cpuset=/,mems_allowed=0,global_oom,task_memcg=/slipway/container,task=a (b) c,pid=73,uid=0',
    '3,902,2,-;Out of memory: Killed process 73 (a (b) c) total-vm:525596kB, anon-rss:2048kB, file-rss:768kB, shmem-rss:0kB, UID:0 pgtables:560kB oom_score_adj:0',
  ];
  expect(findMemoryKills(records)).toEqual([
    {
      ...{ processId: 4711, name: 'dd', memoryMiB: 254 },
      ...{ group: '/api/slipway-run-1', groupAtLimit: '/api/slipway-run-1' },
    },
    {
      ...{ processId: 4712, name: 'dd', memoryMiB: 254 },
      ...{ group: '/api/slipway-run-2', groupAtLimit: '/api/slipway-run-2' },
    },
    { processId: 73, name: 'a (b) c', memoryMiB: 2, group: '/slipway/container', groupAtLimit: null },
  ]);
});
