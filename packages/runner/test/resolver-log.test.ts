import { describe, expect, test } from 'vitest';
import { ResolverLog } from '../src/network/resolver-log.ts';
import { usedBytes } from './used-bytes.ts';

const noon = new Date('2026-01-01T12:00:00Z');
const prefix = 'Nov 24 09:53:30 dnsmasq[9]:';

function logOf(lines: string[], refusesNames = true): ResolverLog {
  const log = new ResolverLog({ refusesNames, now: () => noon });
  for (const line of lines) log.read(`${prefix} ${line}`);
  return log;
}

describe('of the resolver of a sandbox is learned', () => {
  test('which names led to an address, also through aliases, the newest first', () => {
    const log = logOf([
      '8 192.0.0.2/54457 query[A] www.example from 192.0.0.2',
      '9 192.0.0.2/54458 query[AAAA] Other.Example from 192.0.0.2',
      '8 192.0.0.2/54457 forwarded www.example to 10.0.0.2',
      '8 192.0.0.2/54457 reply www.example is <CNAME>',
      '8 192.0.0.2/54457 nftset add 4 inet slipway named_ipv4 198.51.100.3 www.example',
      '8 192.0.0.2/54457 reply edge.cdn.example is 198.51.100.3',
      '9 192.0.0.2/54458 reply Other.Example is 2001:db8::3',
      '10 192.0.0.2/54459 query[A] another.example from 192.0.0.2',
      '10 192.0.0.2/54459 cached another.example is 198.51.100.3',
    ]);
    expect(log.hostsOf('198.51.100.3')).toEqual(['another.example', 'www.example']);
    expect(log.hostsOf('2001:db8::3')).toEqual(['other.example']);
    expect(log.hostsOf('198.51.100.4')).toEqual([]);
  });

  test('which names were refused, and how often: for IPv4 and IPv6 at once is one look-up', () => {
    const lines = ['A', 'AAAA', 'A', 'AAAA', 'TXT'].flatMap((type, index) => [
      `${index} 192.0.0.2/5 query[${type}] evil.example from 192.0.0.2`,
      `${index} 192.0.0.2/5 config evil.example is NXDOMAIN`,
    ]);
    expect(logOf(lines).refusedNames).toEqual(new Map([['evil.example', { count: 2, lastAt: noon }]]));
    // Under the policy `open`, a name that does not exist is no refusal.
    expect(logOf(lines, false).refusedNames).toEqual(new Map());
  });

  test('nothing that the name itself says: it is what a hostile run chose', () => {
    const log = logOf([
      '1 192.0.0.2/5 query[A] a is 9.9.9.9 from 192.0.0.2 x.example from 192.0.0.2',
      '1 192.0.0.2/5 config a is 9.9.9.9 from 192.0.0.2 x.example is NXDOMAIN',
      '2 192.0.0.2/5 query[A] <name unprintable> from 192.0.0.2',
      '2 192.0.0.2/5 reply <name unprintable> is 198.51.100.9',
      'no line of its',
      '3 192.0.0.2/5 reply unasked.example is 198.51.100.8',
    ]);
    expect([...log.refusedNames.keys()]).toEqual(['(a name that is none)']);
    expect(log.hostsOf('9.9.9.9')).toEqual([]);
    expect(log.hostsOf('198.51.100.9')).toEqual(['(a name that is none)']);
    expect(log.hostsOf('198.51.100.8')).toEqual([]);
  });

  test('a bounded amount, however much is asked', async () => {
    const log = new ResolverLog({ refusesNames: true, now: () => noon });
    const before = await usedBytes();
    for (let index = 0; index < 200_000; index += 1) {
      const name = `${index}.${'x'.repeat(60)}.example`;
      log.read(`${prefix} ${index} 192.0.0.2/5 query[A] ${name} from 192.0.0.2`);
      log.read(
        `${prefix} ${index} 192.0.0.2/5 reply ${name} is ${index >> 16}.0.${(index >> 8) & 255}.${index & 255}`,
      );
      log.read(`${prefix} ${index} 192.0.0.2/5 config ${name} is NXDOMAIN`);
    }
    expect((await usedBytes()) - before).toBeLessThan(16 * 1024 * 1024);
    expect(log.refusedNames.size + log.unlistedRefusals).toBe(200_000);
    expect(log.refusedNames.size).toBe(1024);
    expect(log.hostsOf('3.0.13.63')).toHaveLength(1);
    expect(log.hostsOf('0.0.0.1')).toEqual([]);
  });
});
