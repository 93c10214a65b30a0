import { join } from 'node:path';
import { pauseRunner, resumeRunner } from '@slipway/runner';
import { ensureDataDirectory } from '../named-files.ts';

interface PauseFlags {
  dataDir: string;
}

/** `slipway runner pause`: the runner of a data directory claims nothing more, until `resume`. */
export async function pause({ dataDir }: PauseFlags): Promise<void> {
  await ensureDataDirectory(dataDir);
  await pauseRunner(runnerDirectory(dataDir));
  console.log(
    `The runner of ${dataDir} claims no more runs; what it executes goes on. Undo with: slipway runner resume`,
  );
}

/** `slipway runner resume`. */
export async function resume({ dataDir }: PauseFlags): Promise<void> {
  const wasPaused = await resumeRunner(runnerDirectory(dataDir));
  console.log(
    wasPaused ? `The runner of ${dataDir} claims runs again.` : `The runner of ${dataDir} was not paused.`,
  );
}

/** Where a runner keeps what is its own. */
export function runnerDirectory(dataDirectory: string): string {
  return join(dataDirectory, 'runner');
}
