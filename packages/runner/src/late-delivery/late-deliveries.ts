import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { lateLogHours } from '@slipway/core';
import { DeliveryCalls } from '../control-plane-client/calls.ts';
import type { Connection } from '../control-plane-client/connection.ts';
import { CallRefused, Fenced } from '../control-plane-client/failures.ts';
import { patientBackOff, untilAnswered } from '../control-plane-client/retry.ts';
import { lives } from '../log-spool/process-identity.ts';
import { SpoolFolder, spoolsFolder } from '../log-spool/spool-folder.ts';
import { readSpoolRecord } from '../log-spool/spool-record.ts';
import type { RunnerLog } from '../runner-options.ts';
import { endSandbox } from './end-sandbox.ts';

export interface LateDeliveryOptions {
  readonly dataDirectory: string;
  readonly serverUrl: string;
  readonly connection: Connection;
  readonly log: RunnerLog;
}

/**
 * Delivers the last lines of runs that were lost: of those that this runner had to give up, and of those that an earlier
 * one left behind when it was killed. The control plane takes them for a day. What is not delivered when this process ends
 * waits for the next one.
 */
export class LateDeliveries {
  readonly #options: LateDeliveryOptions;
  readonly #closing = new AbortController();
  readonly #underWay = new Set<Promise<void>>();

  constructor(options: LateDeliveryOptions) {
    this.#options = options;
  }

  /** Takes up what earlier runners have left behind in the data directory. Other control planes' spools stay for theirs. */
  takeUpLeftBehind(): void {
    const { dataDirectory, serverUrl, log } = this.#options;
    for (const path of foldersIn(spoolsFolder(dataDirectory))) {
      const record = readSpoolRecord(path);
      if (record && lives(record.owner)) continue;
      if (record && record.serverUrl !== serverUrl && !isOverdue(path)) continue;
      const spool = SpoolFolder.adopt(path);
      if (!spool) continue;
      log.warn(
        { runId: spool.record.runId },
        'An earlier runner was killed in a run; its last lines are delivered',
      );
      this.deliver(spool);
    }
  }

  /** Delivers, in the background, and removes the spool then. Nobody else works with it any more. */
  deliver(spool: SpoolFolder): void {
    const delivery = this.#deliver(spool)
      .catch((error: unknown) => {
        spool.close();
        if (this.#closing.signal.aborted) return;
        const { runId } = spool.record;
        this.#options.log.error({ err: error, runId }, 'The last lines of a run stay until the next start');
      })
      .finally(() => this.#underWay.delete(delivery));
    this.#underWay.add(delivery);
  }

  /** Gives up what is not delivered yet. */
  async close(): Promise<void> {
    this.#closing.abort(new Error('the runner is being stopped'));
    await Promise.all(this.#underWay);
  }

  async #deliver(spool: SpoolFolder): Promise<void> {
    const { connection, log } = this.#options;
    const { runId, deliveryToken, sandbox } = spool.record;
    const calls = new DeliveryCalls(connection, deliveryToken);
    try {
      for (;;) {
        const batch = await spool.lines.nextBatch();
        if (batch === undefined) break;
        await this.#ask(() => calls.lateLog(batch.json));
        spool.lines.acknowledge(batch);
      }
      // Said too early, another sandbox would begin to work on the stack.
      if (sandbox) await endSandbox(sandbox);
      await this.#ask(() => calls.lost());
      log.info({ runId }, 'The last lines of a lost run were delivered');
    } catch (error) {
      if (!(error instanceof Fenced || error instanceof CallRefused)) throw error;
      log.warn({ err: error, runId }, 'Nobody waits for the last lines of a lost run');
    }
    spool.remove();
  }

  #ask(call: () => Promise<void>): Promise<void> {
    return untilAnswered(call, { signal: this.#closing.signal, backOff: patientBackOff });
  }
}

/** Too late for any control plane. */
function isOverdue(folder: string): boolean {
  const written = readdirSync(folder).map((name) => statSync(join(folder, name)).mtimeMs);
  return Date.now() - Math.max(...written) > lateLogHours * 60 * 60 * 1000;
}

function foldersIn(path: string): string[] {
  try {
    return readdirSync(path).map((name) => join(path, name));
  } catch {
    return []; // no run has been here
  }
}
