import { setTimeout as sleep } from 'node:timers/promises';
import {
  defaultLeaseSeconds,
  type EgressPolicy,
  egressRecord,
  leaseTimingOf,
  usageSample,
} from '@slipway/core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import * as z from 'zod';
import { until } from './testing/api.ts';
import {
  addEmptyProject,
  finishedDeployment,
  logOfDeployment,
  type SlipwayUnderTest,
  startSlipway,
} from './testing/slipway.ts';

const report = z.object({
  outcome: z.string(),
  cause: z.string().nullable(),
  phaseMilliseconds: z.record(z.string(), z.number()),
  sandbox: z.object({ bootId: z.string() }),
  egress: egressRecord,
});
const usage = z.object({ samples: z.array(usageSample) });
const deployment = z.object({ id: z.string() });

/** What a run sees of its machine, and whether it reaches a public address. */
const look = `echo "machine-id $(cat /etc/machine-id)."; echo "clock $(date +%s)."
timeout 5 bash -c ': < /dev/tcp/198.51.100.7/80' || true`;

describe.each([{ isolation: 'container' as const }, { isolation: 'vm' as const }])(
  'sandboxes that wait for runs, with isolation $isolation',
  { timeout: 300_000 },
  ({ isolation }) => {
    let slipway: SlipwayUnderTest;
    let readySince = 0;
    const ready = async () => {
      await until('a sandbox waits', 180_000, async () => slipway.warmSandboxes === 1 || undefined);
      readySince = performance.now();
    };

    beforeAll(async () => {
      slipway = await startSlipway({ isolation, warm: 1, cpus: 2, memoryMib: 1024, volumeGib: 4 });
      await addEmptyProject(slipway, 'waiting');
      await slipway.publish();
      await slipway.api('POST', '/api/stacks/local/waiting', { stackName: 'dev' });
      await ready();
    }, 300_000);
    afterAll(() => slipway?.close());

    async function preview(egress: EgressPolicy, ...commands: string[]) {
      const path = 'local/waiting/dev';
      await slipway.api('PUT', `/api/slipway/stacks/${path}/sandbox`, { egress });
      const { json } = await slipway.api('POST', `/api/stacks/${path}/deployments`, {
        operation: 'preview',
        inheritSettings: false,
        sourceContext: { git: { repoUrl: slipway.repositoryUrl, branch: 'main', repoDir: 'waiting' } },
        operationContext: { preRunCommands: [look, ...commands], options: { skipInstallDependencies: true } },
      });
      const { id } = deployment.parse(json);
      const run = report.parse(await finishedDeployment(slipway, path));
      const text = (await logOfDeployment(slipway, path, id)).join('\n');
      const [, machineId, clock] = /machine-id (\S+)\.[\s\S]*clock (\d+)\./.exec(text) ?? [];
      const { samples } = usage.parse((await slipway.api('GET', `/api/slipway/runs/${id}/usage`)).json);
      return { ...run, text, machineId, clock: Number(clock), samples };
    }

    test('serve runs one after the other: each has one of its own, with its own egress policy and clock', async () => {
      // Longer than a machine lives that nobody speaks to.
      const { guestSilenceSeconds } = leaseTimingOf(defaultLeaseSeconds);
      await sleep(Math.max(0, readySince + (guestSilenceSeconds + 2) * 1000 - performance.now()));
      const first = await preview({ mode: 'none' });
      await ready();
      // One that goes through is enough: in an emulated machine Pulumi takes half a minute.
      const second = await preview({ mode: 'open' }, 'exit 7');
      expect(first.outcome, first.text).toBe('succeeded');
      expect(second.cause, second.text).toBe('program-error');
      for (const run of [first, second]) {
        expect(run.phaseMilliseconds).toHaveProperty('warm');
        expect(run.phaseMilliseconds).not.toHaveProperty('boot');
        expect(run.text).toMatch(/Taking a sandbox that was started \d+ s ago/);
        // No more than two processors can have done since the run took it: its start is not the run's.
        const [{ seconds, sandbox, host } = { seconds: 0, sandbox: null, host: null }] = run.samples;
        expect(host).not.toBeNull();
        for (const use of [sandbox, host])
          expect(use?.cpuMilliseconds ?? 0).toBeLessThanOrEqual(2 * (seconds + 1) * 1000);
      }
      expect(first.machineId).toMatch(/^[0-9a-f]{32}$/);
      expect(second.machineId).not.toBe(first.machineId);
      if (isolation === 'vm') expect(second.sandbox.bootId).not.toBe(first.sandbox.bootId);
      expect(Math.abs(second.clock - Date.now() / 1000)).toBeLessThan(120);
      expect(first.egress.refused).toMatchObject([{ address: '198.51.100.7', port: 80 }]);
      expect(second.egress.refused).toEqual([]);
    });
  },
);
