import { existsSync, readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { outputOf, untilItWrites } from '../../src/testing/sandbox-bench.ts';
import { buildTinyDevice } from '../../src/testing/tiny-image.ts';
import type { Conformance } from './conformance.ts';

/** Empty where the host has none. */
function hostMachineId(): string {
  return existsSync('/etc/machine-id') ? readFileSync('/etc/machine-id', 'utf8').trim() : '';
}

/** What a process inside finds. */
export function describeInside({ bench, makesNamespaces, cacheTransfer }: Conformance): void {
  describe('inside', () => {
    test('has exactly the environment and working directory that were asked for', async () => {
      const sandbox = await bench().start('cat /proc/$$/environ >&3; readlink /proc/$$/cwd >&3', {
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
      const sandbox = await bench().start('ls /proc/$$/fd >&3 & wait');
      expect((await outputOf(sandbox)).split('\n')).toEqual(['0', '1', '2', '3', '']);
    });

    test('runs in the root of the image, writable, with the toolbox read-only beside it', async () => {
      const sandbox = await bench().start(`
        echo changed > /etc/passwd && cat /etc/passwd >&3
        /slipway/bin/busybox echo tools >&3
        touch /slipway/x 2>/dev/null || echo read-only >&3`);
      expect(await outputOf(sandbox)).toBe('changed\ntools\nread-only\n');
    });

    test('can neither mount nor see devices of the host, change its kernel or make namespaces', async () => {
      const sandbox = await bench().start(`
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
        bench().start(script, { hostname: 'first' }),
        bench().start(script, { hostname: 'second' }),
      ]);
      const outputs = await Promise.all([outputOf(first), outputOf(second)]);
      expect(outputs[0]).toMatch(/^first\n[0-9a-f]{32}\nmine\n$/);
      expect(outputs[1]).toMatch(/^second\n[0-9a-f]{32}\nmine\n$/);
      const machineIds = [...outputs.map((output) => output.split('\n')[1]), hostMachineId()];
      expect(new Set(machineIds).size).toBe(3);
    });
  });

  test('gets a device while it runs, and can read and not write it', async () => {
    const path = buildTinyDevice(bench().folder, 'attached late');
    const sandbox = await bench().start(`
      echo ready >&3; read go <&3
      cat /slipway-devices/cache/content >&3
      touch /slipway-devices/cache/x 2>/dev/null || echo " read-only" >&3`);
    await untilItWrites(sandbox, 'ready');
    expect(sandbox.cacheDevice === null ? 'archive' : 'device').toBe(cacheTransfer);
    await sandbox.attach({ name: 'cache', path });
    sandbox.channel.write('go\n');
    expect(await outputOf(sandbox)).toBe('attached late read-only\n');
  });
}
