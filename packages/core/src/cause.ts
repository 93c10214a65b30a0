import * as z from 'zod';

/**
 * Why a run did not succeed: a closed list. Each cause has a sentence for the user and a next step, so that no run
 * ends unexplained. The runner or the control plane adds the particulars (which image, which branch) in a message.
 */
export const causes = {
  'program-error': {
    sentence: 'The Pulumi operation or a command of the run failed.',
    remedy: 'Read the last lines of the log: they name the resource or command that failed.',
  },
  cancelled: {
    sentence: 'The run was cancelled.',
    remedy: 'Start it again with `pulumi deployment run` when you are ready.',
  },
  'timed-out': {
    sentence: 'The run took longer than it is allowed to.',
    remedy: 'Raise the time limit of the stack or its pool, or split the work over several stacks.',
  },
  'heap-limit': {
    sentence: 'A process reached the limit of its own memory, while the sandbox still had some.',
    remedy:
      'Raise the limit of that process (for Node.js the environment variable NODE_OPTIONS=--max-old-space-size=<MiB>), within the memory of the sandbox.',
  },
  'out-of-memory': {
    sentence: 'The run needed more memory than its sandbox has.',
    remedy: 'Give the stack or its pool a larger memory size, or lower the parallelism of the operation.',
  },
  'guest-out-of-memory': {
    sentence: 'The kernel of the virtual machine ran out of memory for itself.',
    remedy: 'Give the stack or its pool a larger memory size; if it happens again, please report it.',
  },
  'host-out-of-memory': {
    sentence: 'The host of the runner had no memory left for the sandbox.',
    remedy:
      'Let the runner execute fewer runs at a time, or smaller ones, or give its host more memory. Check the stack with `pulumi refresh`.',
  },
  'host-disk-full': {
    sentence: 'The host of the runner had no room left on its disk.',
    remedy:
      'Free some space there, or let sandboxes leave more of it to the host (`--reserve-disk-gib`). Where the operation had begun, check the stack with `pulumi refresh`.',
  },
  'disk-full': {
    sentence: 'The run filled the volume of its sandbox.',
    remedy: 'Give the stack or its pool a larger volume, or write less.',
  },
  'inodes-exhausted': {
    sentence: 'The run made as many files as the volume of its sandbox can hold.',
    remedy: 'Make fewer files, or give the stack or its pool a larger volume, which holds more of them.',
  },
  'process-limit': {
    sentence: 'The run started as many processes and threads as its sandbox allows.',
    remedy: 'Lower the parallelism of the operation, or end what the run leaves behind.',
  },
  'source-unavailable': {
    sentence: 'The source of the Pulumi program could not be fetched.',
    remedy: 'Check repository, branch, folder and credentials in `pulumi deployment settings`.',
  },
  'image-unavailable': {
    sentence: 'The executor image could not be used.',
    remedy: 'Check the image reference and its registry credentials in `pulumi deployment settings`.',
  },
  'dependencies-failed': {
    sentence: 'The dependencies of the Pulumi program could not be installed.',
    remedy:
      'Read the log of the step "Download dependencies"; private registries are set up in pre-run commands.',
  },
  'egress-refused': {
    sentence: 'The run was kept from something that it needed to reach.',
    remedy: 'The egress record of the run lists all that was refused.',
  },
  'executor-crashed': {
    sentence: 'The executor ended without a result.',
    remedy: 'A command of the run may have killed it; read the last lines of the log.',
  },
  'protocol-violation': {
    sentence: 'The sandbox sent something that the runner does not accept, so it was destroyed.',
    remedy: 'Check what the executor image and the program do to the channel on file descriptor 3.',
  },
  'guest-panic': {
    sentence: 'The kernel of the virtual machine stopped.',
    remedy: 'The last lines of its console are in the log of the step "Setup"; please report them.',
  },
  'guest-powered-off': {
    sentence: 'The virtual machine was switched off from inside before the run had a result.',
    remedy: 'Remove the command that powers the machine off.',
  },
  'sandbox-failed': {
    sentence: 'The sandbox could not be started.',
    remedy: 'Run `./slipway doctor` on the runner host.',
  },
  'runner-shutdown': {
    sentence: 'The runner was stopped while it executed the run.',
    remedy: 'Check the stack with `pulumi refresh`, then run the deployment again.',
  },
  'runner-lost': {
    sentence: 'The runner gave no sign of life any more; its sandbox destroys itself.',
    remedy: 'Check the stack with `pulumi refresh`, then run the deployment again.',
  },
  'internal-error': {
    sentence: 'Slipway itself failed.',
    remedy: 'Read the log of the runner and of the control plane, and please report it.',
  },
} as const satisfies Record<string, { sentence: string; remedy: string }>;

export type Cause = keyof typeof causes;
export const cause = z.enum(Object.keys(causes) as [Cause, ...Cause[]]);

/** A cause as one text for a log or a page: sentence, particulars where there are any, and next step. */
export function explainCause(name: Cause, particulars?: string): string {
  const { sentence, remedy } = causes[name];
  return particulars ? `${sentence} ${particulars} ${remedy}` : `${sentence} ${remedy}`;
}
