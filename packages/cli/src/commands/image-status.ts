import * as z from 'zod';
import { ApiClient, type ApiFlags } from '../api-client.ts';
import type { JsonFlag } from '../options.ts';
import { printJson } from '../print-json.ts';
import { timeOf } from '../runs/amounts.ts';
import { shownLine } from '../runs/shown.ts';
import { table } from '../runs/table.ts';
import { stackPath } from '../stack-path.ts';

const answer = z.object({
  reference: z.string().nullable(),
  failures: z.array(z.object({ hostname: z.string(), problem: z.string(), failedAt: z.iso.datetime() })),
});

const notReadyStatus = 2;

/**
 * `slipway image status`: the executor image that the settings of a stack name, and why runners could not make it ready.
 * The exit status is 2 when one could not: 1 is that of a question that was not answered.
 */
export async function showImageStatus(stack: string, { json, ...flags }: ApiFlags & JsonFlag): Promise<void> {
  const api = await ApiClient.open(flags, process.env);
  const image = await api.call(answer, 'GET', `/api/slipway/stacks/${stackPath(stack)}/executor-image`);
  if (image.failures.length > 0) process.exitCode = notReadyStatus;
  if (json) return printJson(image);
  for (const line of imagePage(stack, image)) console.log(line);
}

function imagePage(stack: string, { reference, failures }: z.infer<typeof answer>): string[] {
  if (reference === null)
    return [`The settings of "${stack}" name no executor image: its runs use their runner's.`];
  if (failures.length === 0) return [shownLine(reference), 'No runner says that it could not make it ready.'];
  const rows = failures.map(({ failedAt, hostname, problem }) => [
    timeOf(failedAt),
    shownLine(hostname),
    shownLine(problem),
  ]);
  return [shownLine(reference), 'Could not be made ready by runners, which try again:', ...table(rows)];
}
