import { type Server, startServer } from '@slipway/control-plane';
import { boundHeap } from '../bound-heap.ts';
import { type RunnerFlags, startRunnerFromFlags, usualDrainSeconds } from './runner.ts';
import { controlPlaneOptions, type ServerFlags } from './server.ts';
import { listenForStop } from './stop-requests.ts';

export type UpFlags = ServerFlags & Omit<RunnerFlags, 'server' | 'poolToken'>;

/** `slipway up`: control plane, database and a local runner, until it is stopped. */
export async function up(flags: UpFlags): Promise<void> {
  boundHeap();
  const slipway = await startAll(flags);
  console.log(`Slipway is ready at ${slipway.url}`);
  console.log(`  ${slipway.isolationSentence}`);
  for (const remark of slipway.remarks) console.log(`  ${remark}`);
  console.log(`  log in with:  PULUMI_ACCESS_TOKEN=${slipway.adminToken} pulumi login ${slipway.url}`);
  console.log(
    `  (the token is also in ${flags.dataDir}/admin-token; the organization is "${flags.organization}")`,
  );
  const { toDrain, toStop } = listenForStop();
  await toDrain;
  await Promise.race([slipway.drain(), toStop]);
  await slipway.close();
}

export interface Slipway {
  readonly url: string;
  readonly adminToken: string;
  /** Where runs execute, in one sentence: names software emulation where there is no hardware acceleration. */
  readonly isolationSentence: string;
  /** What whoever starts it should know about the size of its sandboxes. */
  readonly remarks: readonly string[];
  /** How many sandboxes wait for runs, ready. */
  readonly warmSandboxes: number;
  /** Claims no more runs, and answers when the last one has ended or the time for that is over. */
  drain(): Promise<void>;
  close(): Promise<void>;
}

/** Starts control plane and runner in this process. */
export async function startAll(
  flags: UpFlags,
  extra: { readonly exampleRepository?: string } = {},
): Promise<Slipway> {
  const server: Server = await startServer({ ...(await controlPlaneOptions(flags)), ...extra });
  try {
    const { runner, remarks } = await startRunnerFromFlags({
      ...flags,
      server: server.url,
      poolToken: server.poolToken,
    });
    return {
      url: server.url,
      adminToken: server.adminToken,
      isolationSentence: runner.isolationSentence,
      remarks,
      get warmSandboxes() {
        return runner.warmSandboxes;
      },
      drain: () => runner.drain(flags.drainSeconds ?? usualDrainSeconds),
      close: async () => {
        await runner.stop();
        await server.close();
      },
    };
  } catch (error) {
    await server.close();
    throw error;
  }
}
