import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { describe, expect, test } from 'vitest';
import { z } from 'zod';
import { egressRules } from '../src/network/egress-rules.ts';
import { hostNameservers } from '../src/network/host-nameserver.ts';
import { createOpenNetwork, createSandboxNetwork } from '../src/network/pasta-network.ts';
import { hostTraces } from '../src/testing/host-traces.ts';
import { onSmallInternet } from '../src/testing/small-internet.ts';

const probe = join(import.meta.dirname, 'fixtures/network-probe.ts');
const answers = z.record(z.string(), z.string());

describe('out of a sandbox network', () => {
  test('the gateway and public addresses can be reached', async () => {
    const reached = answers.parse(
      await onSmallInternet(probe, {
        input: {
          urls: ['http://192.0.0.1/', 'http://198.51.100.1:8000/', 'http://[2001:db8:1::1]:8000/'],
          lookUp: 'public.example',
        },
      }),
    );
    expect(reached).toMatchObject({
      'http://192.0.0.1/': 'the gateway',
      'http://198.51.100.1:8000/': '198.51.100.1',
      'http://[2001:db8:1::1]:8000/': '2001:db8:1::1',
    });
    expect(reached['public.example']).toContain('198.51.100.1');
  });

  test('nothing else of the host, of its networks or of a neighbour can be, and the refusal is told at once', async () => {
    const urls = [
      // The host: loopback, every address, by IPv6, and IPv4 in IPv6's clothes.
      ...['http://127.0.0.1:8000/', 'http://127.0.0.1:GATEWAY/', 'http://[::1]:8000/', 'http://[::1]/'],
      // The router, pasta, and the loopback of the host behind it.
      ...['http://192.0.0.1:8000/', 'http://192.0.0.1:GATEWAY/', 'http://[fd53:4c49:5057::1]:8000/'],
      ...['http://169.254.1.1:8000/', 'http://169.254.1.1:GATEWAY/', 'http://169.254.1.2:8000/'],
      ...['http://[fd53:4c49:5057:1::2]:8000/', 'http://[fe80::1]:8000/'],
      ...[
        'http://192.0.2.2:8000/',
        'http://198.51.100.2:8000/',
        'http://[2001:db8:1::2]:8000/',
        'http://[2001:db8:1::3]:8000/',
      ],
      ...['http://[::ffff:10.20.0.5]:8000/', 'http://[64:ff9b::10.20.0.5]:8000/'],
      // Private networks, name servers, link-local and metadata services.
      ...['http://10.20.0.5:8000/', 'http://10.20.0.6:53/', 'http://169.254.169.254/'],
      ...['http://172.16.0.1/', 'http://192.168.0.1/', 'http://100.100.100.200/', 'http://168.63.129.16/'],
      ...['http://[fd00:ec2::254]/', 'http://[fe80::1]/', 'http://224.0.0.1/', 'http://255.255.255.255/'],
      // Its neighbour has the same addresses in a namespace of its own.
      ...['http://192.0.0.2:9000/', 'http://127.0.0.1:9000/'],
    ];
    const reached = answers.parse(await onSmallInternet(probe, { input: { urls } }));
    expect(reached).toEqual(Object.fromEntries(urls.map((url) => [url, 'refused'])));
  });

  test('an allowed private network can be reached, and the host only when it is named by itself', async () => {
    const urls = ['http://10.20.0.5:8000/', 'http://198.51.100.2:8000/', 'http://192.0.2.2:8000/'];
    const allowedPrivateNetworks = ['10.20.0.0/16', '198.51.100.0/24', '192.0.2.2/32'];
    expect(await onSmallInternet(probe, { input: { urls, allowedPrivateNetworks } })).toEqual({
      'http://10.20.0.5:8000/': '10.20.0.5',
      'http://198.51.100.2:8000/': 'refused',
      'http://192.0.2.2:8000/': '192.0.2.2',
    });
  });

  test('names are answered also where the resolver listens on the loopback of the host', async () => {
    const urls = ['http://169.254.1.1:8000/'];
    const input = { urls, lookUp: 'public.example' };
    const reached = answers.parse(await onSmallInternet(probe, { nameserver: '127.0.0.53', input }));
    expect(reached['public.example']).toContain('198.51.100.1');
    expect(reached['http://169.254.1.1:8000/']).toBe('refused');
  });
});

describe('a sandbox network', () => {
  test('leaves nothing behind when it is destroyed, also when that is asked twice', async () => {
    const before = hostTraces(['slipway-network'], import.meta.dirname);
    const network = await createOpenNetwork({ gatewayHostPort: 9 });
    expect(hostTraces(['slipway-network'], import.meta.dirname).length).toBeGreaterThan(before.length);
    await Promise.all([network.destroy(), network.destroy()]);
    expect(hostTraces(['slipway-network'], import.meta.dirname)).toEqual(before);
  });

  test('leads nowhere until it is opened, not even to the gateway, and leaves nothing when it never is', async () => {
    const before = hostTraces(['slipway-network'], import.meta.dirname);
    const gateway = createServer((_request, response) => response.end('the gateway')).listen(0, '127.0.0.1');
    await once(gateway, 'listening');
    const address = gateway.address();
    const gatewayHostPort = typeof address === 'object' && address !== null ? address.port : 0;
    const closed = await createSandboxNetwork({ gatewayHostPort });
    const network = await createSandboxNetwork({ gatewayHostPort });
    const ask = (...argv: string[]) => {
      const [command = '', ...rest] = [...network.enter, 'busybox', 'timeout', '2', 'busybox', ...argv];
      return promisify(execFile)(command, rest).then(
        ({ stdout }) => stdout,
        () => 'nothing',
      );
    };
    const askGateway = () => ask('wget', '-q', '-O', '-', 'http://192.0.0.1/');
    const askResolver = () => ask('nslookup', '-type=a', 'slipway.internal', network.nameserver);
    expect(await Promise.all([askGateway(), askResolver()])).toEqual(['nothing', 'nothing']);
    expect(await network.egress()).toMatchObject({ contacted: [], refused: [] });
    await network.open({ mode: 'none' });
    expect(await askGateway()).toBe('the gateway');
    expect(await askResolver()).toContain('192.0.0.1');
    await Promise.all([network.destroy(), closed.destroy()]);
    gateway.close();
    expect(hostTraces(['slipway-network'], import.meta.dirname)).toEqual(before);
  });

  test('is served by nobody of this host: what reads the packets of a sandbox has no rights here', async () => {
    const network = await createOpenNetwork({ gatewayHostPort: 9 });
    const serving = hostTraces([], import.meta.dirname)
      .filter((line) => /^process \d+ (pasta|passt|dnsmasq)/.test(line))
      .map((line) => readFileSync(`/proc/${line.split(' ')[1]}/status`, 'utf8'));
    await network.destroy();
    expect(serving).toHaveLength(2);
    for (const status of serving) {
      const userIds = /^Uid:\s+(.*)$/m.exec(status)?.[1]?.split('\t').map(Number);
      expect(Math.min(...(userIds ?? []))).toBeGreaterThan(process.getuid?.() === 0 ? 60_000 : 0);
    }
  });

  test('goes when the process that made it is killed with SIGKILL', async () => {
    const maker = spawn(process.execPath, [join(import.meta.dirname, 'fixtures/network-maker.ts')]);
    let output = '';
    for await (const chunk of maker.stdout) {
      output += chunk;
      if (output.includes('\n')) break;
    }
    const processes = z.array(z.string()).parse(JSON.parse(output));
    expect(processes.map((line) => line.split(' ')[2])).toContain('cat');
    expect(processes.some((line) => line.includes('pass'))).toBe(true);
    maker.kill('SIGKILL');
    await once(maker, 'exit');

    const alive = () => processes.filter((line) => isAlive(line.split(' ')[1] ?? ''));
    for (let round = 0; round < 100 && alive().length > 0; round += 1) await sleep(10);
    expect(alive()).toEqual([]);
  });

  test('of a host without what it needs fails with a sentence that says so', async () => {
    const path = process.env.PATH;
    process.env.PATH = '/nowhere';
    try {
      await expect(createOpenNetwork({ gatewayHostPort: 9 })).rejects.toThrow(/install passt, nftables/);
    } finally {
      process.env.PATH = path;
    }
  });

  test('refuses an allowed network that is none', () => {
    const rules = (network: string) =>
      egressRules({
        policy: { mode: 'open' },
        nameservers: [],
        hostAddresses: [],
        allowedPrivateNetworks: [network],
        gatewayHostPort: 9,
      });
    expect(() => rules('10.0.0.0/33')).toThrow(/"10.0.0.0\/33" is not a network/);
    expect(() => rules('10.0.0.0/8 } accept #')).toThrow(RangeError);
  });
});

describe('the name servers of the host', () => {
  const files = (contents: Record<string, string>) => (path: string) => contents[path] ?? null;

  test('are the real ones where /etc/resolv.conf only names a stub', () => {
    const read = files({
      '/etc/resolv.conf': '# stub\nnameserver 127.0.0.53\n',
      '/run/systemd/resolve/resolv.conf': 'nameserver 10.0.0.2\nnameserver fd00::2\n',
    });
    expect(hostNameservers(read)).toEqual(['10.0.0.2', 'fd00::2']);
  });

  test('are the first on loopback where there is no other, and none where there is none', () => {
    const loopback = 'search x\nnameserver 127.0.0.1\nnameserver ::1\n';
    expect(hostNameservers(files({ '/etc/resolv.conf': loopback }))).toEqual(['127.0.0.1']);
    expect(hostNameservers(files({ '/etc/resolv.conf': 'nameserver not-an-address\n' }))).toEqual([]);
    expect(hostNameservers(files({}))).toEqual([]);
  });

  test('are as many as the C library asks, each once, and none that only the host can reach', () => {
    const many = ['10.0.0.1', '10.0.0.1', 'fe80::1%eth0', '10.0.0.2', '10.0.0.3', '10.0.0.4'];
    const resolvConf = many.map((address) => `nameserver ${address}\n`).join('');
    expect(hostNameservers(files({ '/etc/resolv.conf': resolvConf }))).toEqual([
      '10.0.0.1',
      '10.0.0.2',
      '10.0.0.3',
    ]);
  });
});

function isAlive(process: string): boolean {
  const stat = join('/proc', process, 'stat');
  return existsSync(stat) && !/\) [ZX] /.test(readFileSync(stat, 'utf8'));
}
