import { expect, test } from 'vitest';
import { describeRates, faultsOf, floodLog } from './testing/log-flood.ts';
import { SeparateSlipway } from './testing/separate-slipway.ts';

/** The same for a minute: `npm run soak -- flood`. */
test('a run that writes as fast as it can loses no line before its limit, is not held up beyond it, and no process grows by more than 64 MiB', async () => {
  await using slipway = await SeparateSlipway.start();
  const result = await floodLog(slipway, { seconds: 8, logMiB: 16 });
  console.log(describeRates(result.rates));
  expect(faultsOf(result)).toEqual([]);
  expect(result.kept.length).toBeGreaterThan(95_000);
  expect(result.last.length).toBeGreaterThan(50);
  expect(result.cut.notice).toContain('its limit of 16 MiB');
}, 240_000);
