import { join } from 'node:path';
import { egressRecord } from '@slipway/core';
import { expect, test } from 'vitest';
import { z } from 'zod';
import { onSmallInternet } from '../src/testing/small-internet.ts';

const attack = join(import.meta.dirname, 'fixtures/vm-network-attack.ts');
const attacked = z.object({ message: z.string(), cause: z.string(), record: egressRecord });

test('a machine in which nothing is ours reaches what its run may, whatever it puts onto its network card', async () => {
  const { message, cause, record } = attacked.parse(await onSmallInternet(attack, { input: {} }));
  expect(cause).toBe('guest-powered-off');
  const answers = [...message.matchAll(/^attack: (\S+) (.*)$/gm)].map(([, address, answer]) => [
    address,
    answer?.trim(),
  ]);
  expect(answers).toEqual([
    ['198.51.100.1', '198.51.100.1'],
    ['198.51.100.5', 'refused'],
    ...['10.0.2.2', '10.0.2.3', '10.0.2.4', '192.0.0.1', '169.254.1.1', '192.0.0.2', '192.0.2.2'].map(
      (address) => [address, 'refused'],
    ),
    ...['198.51.100.2', '10.20.0.5', '169.254.169.254'].map((address) => [address, 'refused']),
    // And afterwards, when it has lied to everybody on its wire.
    ['10.20.0.5', 'refused'],
    ['198.51.100.1', '198.51.100.1'],
  ]);
  expect(record.contacted.map(({ address, protocol }) => `${address} ${protocol}`)).toEqual([
    '198.51.100.1 tcp',
  ]);
  expect(record.refused.map(({ address, protocol }) => `${address} ${protocol}`)).toEqual(
    expect.arrayContaining(['198.51.100.5 tcp', '198.51.100.5 udp', '10.20.0.5 tcp', '169.254.169.254 tcp']),
  );
}, 120_000);
