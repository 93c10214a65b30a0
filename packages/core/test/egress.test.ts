import { describe, expect, test } from 'vitest';
import { describeRefusals, type EgressRefusal } from '../src/index.ts';

const refusal = (changes: Partial<EgressRefusal>): EgressRefusal => ({
  ...{ hosts: [], address: '203.0.113.7', port: 443, protocol: 'tcp', count: 1, reason: 'policy' },
  lastAt: '2026-01-01T00:00:00.000Z',
  ...changes,
});
const describeAll = (refused: EgressRefusal[], unlisted = 0) =>
  describeRefusals({ refused, unlisted: { contacted: 0, refused: unlisted } });

describe('the line about refused egress', () => {
  test('is not there when nothing was refused', () => {
    expect(describeAll([])).toBeUndefined();
  });

  test('names host, port and count of each place, and how to allow it', () => {
    const refused = [
      refusal({ hosts: ['registry.example', 'cdn.example'], count: 3 }),
      refusal({ address: '2001:db8::1', protocol: 'udp', port: 53 }),
      refusal({ hosts: ['telemetry.example'], address: null, port: null, protocol: 'dns', count: 2 }),
    ];
    expect(describeAll(refused)).toBe(
      'Egress refused: registry.example:443 (3 times), [2001:db8::1]:53/udp (once), telemetry.example (2 times). ' +
        'Allow it with "egress" in the sandbox settings of the stack, as far as its pool does.',
    );
  });

  test('says for each kind of refusal what can be done about it, once', () => {
    const line = describeAll([
      refusal({ address: '10.0.0.1', reason: 'private' }),
      refusal({ address: '10.0.0.2', reason: 'private' }),
      refusal({ address: '169.254.169.254', reason: 'metadata' }),
    ]);
    expect(line?.match(/--allow-private-networks/g)).toHaveLength(1);
    expect(line).toContain('never reachable');
  });

  test('stays short, however much was refused', () => {
    const many = Array.from({ length: 900 }, (_, index) => refusal({ port: index + 1 }));
    expect(describeAll(many)).toContain('and 895 more.');
    expect(describeAll(many, 7)).toContain('and more.');
    expect(describeAll(many)?.length).toBeLessThan(400);
  });
});
