import { encodeFrame, type FrameToExecutor, maskPatterns } from '@slipway/core';
import type { Channel } from './channel.ts';
import { StepLog } from './log/step-log.ts';
import { RunnerConnection } from './runner-connection.ts';
import { serveRunner } from './serve-runner.ts';

const conversation: readonly FrameToExecutor[] = [
  { type: 'cancel', graceSeconds: 0 },
  {
    type: 'job',
    job: {
      runId: 'rehearsal',
      workflow: 'deployment',
      stack: { organization: 'rehearsal', project: 'rehearsal', stack: 'rehearsal' },
      operation: 'update',
      deployment: { id: 'rehearsal', version: 1 },
      jobToken: 'rehearsal',
      consoleUrl: '',
      source: { kind: 'git', repoUrl: 'http://rehearsal.invalid/', branch: 'main' },
      environment: {},
      preRunCommands: [],
      options: {
        skipInstallDependencies: false,
        deleteAfterDestroy: false,
        remediateIfDriftDetected: false,
        cacheDependencies: false,
      },
      executorRootPath: '/',
      secrets: ['rehearsal'],
    },
    network: { gatewayUrl: 'http://rehearsal.invalid', extraCertificates: '', proxy: { noProxy: '' } },
    imageEnvironment: {},
    stepUser: { userId: 0, groupId: 0, furtherGroupIds: [], home: '/root' },
    cacheTransfer: 'device',
  },
];

/**
 * Has a run that is cancelled before its first step, with nobody at the other end. V8 compiles functions, and zod its
 * schemas, when they are used first; what was used before a snapshot is taken is compiled in it.
 */
export async function rehearse(): Promise<void> {
  async function* incoming(): AsyncGenerator<Buffer> {
    for (const frame of conversation) yield encodeFrame(frame);
  }
  async function* output(): AsyncGenerator<Buffer> {
    yield Buffer.from('rehearsal\n');
  }
  const channel: Channel = { incoming: incoming(), write: async () => {} };
  const connection = new RunnerConnection(channel);
  const log = new StepLog(connection, maskPatterns(['rehearsal']), 0);
  await log.write('rehearsal');
  await log.copy([output()], () => {});
  await serveRunner(connection);
}
