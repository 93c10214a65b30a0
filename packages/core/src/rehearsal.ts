import type { FrameToExecutor } from './executor-protocol.ts';

/**
 * A job that comes to nothing: its steps find no program. What executors rehearse with, and what shows which of its files
 * one reads. It works below `executorRootPath`.
 */
export function rehearsalJob(executorRootPath: string): FrameToExecutor {
  return {
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
      executorRootPath,
      secrets: ['rehearsal'],
    },
    network: { gatewayUrl: 'http://rehearsal.invalid', extraCertificates: '', proxy: { noProxy: '' } },
    imageEnvironment: { PATH: '/nonexistent' },
    stepUser: { userId: 0, groupId: 0, furtherGroupIds: [], home: '/root' },
    cacheTransfer: 'device',
  };
}
