import * as z from 'zod';
import { Api, Deployment } from './api.ts';
import { addEmptyProject, type SlipwayUnderTest } from './slipway.ts';

const project = 'deadly';

/** Runs of a project without a program, each on a stack of its own, whose commands bring them to their end. */
export class DeadlyRuns {
  readonly #api: Api;
  readonly #repositoryUrl: string;
  #stacks = 0;

  private constructor(slipway: SlipwayUnderTest) {
    this.#api = new Api(slipway.url, slipway.adminToken);
    this.#repositoryUrl = slipway.repositoryUrl;
  }

  static async of(slipway: SlipwayUnderTest): Promise<DeadlyRuns> {
    await addEmptyProject(slipway, project);
    await slipway.publish();
    return new DeadlyRuns(slipway);
  }

  /** Queues an update that runs `command` first. `sandbox`: as in the stack's sandbox settings. */
  async deploy(command: string, sandbox: object = {}): Promise<Deployment> {
    this.#stacks += 1;
    const stack = `local/${project}/stack-${this.#stacks}`;
    await this.#api.expect('POST', `/api/stacks/local/${project}`, { stackName: `stack-${this.#stacks}` });
    await this.#api.expect('PUT', `/api/slipway/stacks/${stack}/sandbox`, sandbox);
    const answer = await this.#api.expect('POST', `/api/stacks/${stack}/deployments`, {
      operation: 'update',
      sourceContext: {
        git: { repoURL: this.#repositoryUrl, branch: 'refs/heads/main', repoDir: project },
      },
      operationContext: { preRunCommands: [command], options: { skipInstallDependencies: true } },
    });
    return new Deployment(this.#api, stack, z.object({ id: z.string() }).parse(answer).id);
  }
}

/** How a run ended, and the last line of its log. */
export async function endOf(deployment: Deployment) {
  const { outcome, cause, message } = await deployment.finished();
  return { outcome, cause, message: message ?? '', lastLine: (await deployment.log()).at(-1) ?? '' };
}
