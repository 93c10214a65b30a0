import { type CommandEnd, runCommand } from '../command.ts';
import type { Environment } from '../environment.ts';
import type { StepContext } from '../step.ts';
import type { GitAccess } from './git-access.ts';

/** Below 1000 bytes a second for this long, a transfer over http counts as dead. */
const stalledTransferSeconds = 60;

/** git in the checked-out repository, with access to the remote one. */
export class Git {
  readonly #context: StepContext;
  readonly #access: GitAccess;

  constructor(context: StepContext, access: GitAccess) {
    this.#context = context;
    this.#access = access;
  }

  /** The checked-out repository. */
  get directory(): string {
    return this.#context.layout.deploymentDirectory;
  }

  /** Runs git; its output goes to the log of the step. */
  run(...parameters: readonly string[]): Promise<CommandEnd> {
    const { log, cancellation } = this.#context;
    const settings = [
      '-c',
      'advice.detachedHead=false',
      '-c',
      'init.defaultBranch=main',
      ...this.#access.settings,
    ];
    return runCommand(
      {
        argv: ['git', ...settings, ...parameters],
        workingDirectory: this.directory,
        environment: this.#environment(),
        interrupt: 'group',
      },
      log,
      cancellation,
    );
  }

  #environment(): Environment {
    return {
      // First, so that the user's variables can change it.
      GIT_HTTP_LOW_SPEED_LIMIT: '1000',
      GIT_HTTP_LOW_SPEED_TIME: String(stalledTransferSeconds),
      ...this.#context.environment,
      ...this.#access.environment,
      // Nobody is there to answer a question, and `explainGitFailure` reads English.
      GIT_TERMINAL_PROMPT: '0',
      LC_ALL: 'C',
      // git's other transports read local files or run programs.
      GIT_ALLOW_PROTOCOL: 'http:https:ssh',
    };
  }
}
