import { join } from 'node:path';
import * as z from 'zod';
import { type GitServer, makeRepository, serveGit } from '../../packages/executor/test/testing/git-server.ts';
import { type Api, Deployment } from './api.ts';

/** A git server of our own, with a repository that holds an empty Pulumi project. */
export async function serveEmptyProject(directory: string, address: string): Promise<GitServer> {
  await makeRepository(join(directory, 'empty'), {
    'Pulumi.yaml': 'name: empty\nruntime: nodejs\nmain: index.js\n',
    'package.json': '{"name": "empty", "private": true}\n',
    'index.js': "'use strict';\n",
  });
  return serveGit(directory, undefined, address);
}

/** A stack of the empty project. */
export interface DeployableStack {
  readonly name: string;
  /** Queues an update that runs `commands` first. */
  deploy(...commands: string[]): Promise<Deployment>;
}

export async function makeStack(api: Api, gitServer: GitServer, name = 'dev'): Promise<DeployableStack> {
  const stack = `local/empty/${name}`;
  await api.expect('POST', '/api/stacks/local/empty', { stackName: name });
  return {
    name: stack,
    deploy: async (...commands) => {
      const answer = await api.expect('POST', `/api/stacks/${stack}/deployments`, {
        operation: 'update',
        sourceContext: { git: { repoURL: `${gitServer.url}/empty/.git`, branch: 'refs/heads/main' } },
        operationContext: { preRunCommands: commands, options: { skipInstallDependencies: true } },
      });
      return new Deployment(api, stack, z.object({ id: z.string() }).parse(answer).id);
    },
  };
}
