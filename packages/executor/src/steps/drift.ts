import { createReadStream } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import * as z from 'zod';
import type { Step } from '../step.ts';
import { runPulumi } from './pulumi-step.ts';

/** What the detection found, for the remediation that may follow it. */
export interface Drift {
  isFound: boolean;
}

/**
 * Compares the stack with the world, and changes neither. What it finds is in the engine's summary, which the CLI writes
 * into a file of events (Pulumi CLI cmd/pulumi/operations/refresh.go: `--event-log`, where `PULUMI_DEBUG_COMMANDS` is
 * set); its exit code says nothing of it.
 */
export function detectDrift(drift: Drift): Step {
  const name = 'pulumi refresh';
  return {
    name,
    async run(context) {
      const directory = await mkdtemp(join(tmpdir(), 'slipway-drift-'));
      try {
        const events = join(directory, 'events');
        const words = ['refresh', '--preview-only', '--event-log', events];
        await runPulumi(name, words, context, { PULUMI_DEBUG_COMMANDS: 'true' });
        const changes = Object.entries(await changesIn(events)).filter(
          ([operation, count]) => operation !== 'same' && count > 0,
        );
        drift.isFound = changes.length > 0;
        const found = changes.map(([operation, count]) => `${count} to ${operation}`).join(', ');
        await context.log.write(drift.isFound ? `Drift detected: ${found}.` : 'No drift detected.');
      } finally {
        await rm(directory, { recursive: true, force: true });
      }
    },
  };
}

/** Brings the world back to what the program says, where a detection before it found drift. */
export function remediateDrift(drift: Drift): Step {
  const name = 'pulumi up';
  return {
    name,
    async run(context) {
      if (drift.isFound) await runPulumi(name, remediation, context);
      else await context.log.write('There is no drift to remediate, skipping...');
    },
  };
}

/** As the Automation API runs it: without a preview of its own. */
export const remediation = ['up', '--refresh', '--yes', '--skip-preview'];

const summary = z.object({
  summaryEvent: z.object({ resourceChanges: z.record(z.string(), z.number()).nullish() }),
});

/** The changes by operation (`same`, `update`, `delete` …) in the last summary of a file of engine events, a line each. */
async function changesIn(path: string): Promise<Record<string, number>> {
  let changes: Record<string, number> = {};
  for await (const line of createInterface({ input: createReadStream(path) })) {
    if (!line.includes('"summaryEvent"')) continue;
    const parsed = summary.safeParse(JSON.parse(line));
    if (parsed.success) changes = parsed.data.summaryEvent.resourceChanges ?? {};
  }
  return changes;
}
