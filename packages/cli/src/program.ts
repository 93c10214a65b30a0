import { Command, type Option } from 'commander';
import type { DoctorFlags } from './commands/doctor.ts';
import type { PruneFlags } from './commands/image.ts';
import type { QuickstartFlags } from './commands/quickstart.ts';
import type { ListFlags, ShowFlags } from './commands/run.ts';
import type { RunnerFlags } from './commands/runner.ts';
import type { SandboxChanges, SandboxTarget } from './commands/sandbox.ts';
import type { ServerFlags } from './commands/server.ts';
import type { UpFlags } from './commands/up.ts';
import { applyConfigurationFile, dropNegativeVariables } from './configuration.ts';
import {
  apiOptions,
  dataDirectoryOption,
  type JsonFlag,
  jsonOption,
  runListOptions,
  runnerOptions,
  sandboxChangeOptions,
  sandboxOptions,
  sandboxTargetOptions,
  serverOptions,
} from './options.ts';
import type { SetUpFlags } from './setup/setup.ts';

/**
 * The whole command line. What a command does is imported when it is asked for: control plane and runner take half a
 * second to load, and `--help` needs neither (tests/architecture.test.ts).
 */
export function slipwayProgram(): Command {
  const slipway = new Command('slipway')
    .description(
      'Self-hosted runner service for Pulumi: every deployment in its own single-use virtual machine.',
    )
    .version('0.1.0')
    .option('--config <file>', 'configuration file (YAML), default ~/.slipway/config.yaml')
    .showHelpAfterError('(slipway <command> --help tells more)')
    .hook('preSubcommand', async (program, subcommand) => {
      dropNegativeVariables(subcommand, process.env);
      await applyConfigurationFile(program, subcommand, process.env);
    });

  command(slipway, 'up', 'start everything on this machine: control plane, database, local runner', [
    ...serverOptions(),
    ...sandboxOptions(),
  ]).action(async (flags: UpFlags) => (await import('./commands/up.ts')).up(flags));

  command(slipway, 'server', 'start the control plane alone', serverOptions()).action(
    async (flags: ServerFlags) => (await import('./commands/server.ts')).server(flags),
  );

  const runner = command(
    slipway,
    'runner',
    'start a runner that works for a control plane elsewhere',
    runnerOptions(),
  ).action(async (flags: RunnerFlags) => (await import('./commands/runner.ts')).runner(flags));
  // Options after `pause` are those of `pause`.
  runner.enablePositionalOptions();
  command(runner, 'pause', 'let the runner of this host claim no more runs; what it executes goes on', [
    dataDirectoryOption(),
  ]).action(async (flags) => (await import('./commands/runner-pause.ts')).pause(flags));
  command(runner, 'resume', 'let the runner of this host claim runs again', [dataDirectoryOption()]).action(
    async (flags) => (await import('./commands/runner-pause.ts')).resume(flags),
  );

  command(
    slipway,
    'quickstart',
    'set up, start Slipway, run a real deployment in its own sandbox and show its live log',
    [...serverOptions(), ...sandboxOptions()],
  )
    .option('--exit', 'stop after the run, with its success as exit status; keeps nothing')
    .action(async (flags: QuickstartFlags) => (await import('./commands/quickstart.ts')).quickstart(flags));

  command(
    slipway,
    'setup',
    'set up what is missing on this host: Debian packages, guest, CLI, toolbox, executor image',
  )
    .option('--gvisor', 'also gVisor, for --isolation gvisor')
    .option('--tests', 'also what the tests of this repository need')
    .action(async (flags: SetUpFlags) => (await import('./setup/setup.ts')).setUp(process.env, flags));

  command(slipway, 'doctor', 'check what this host offers, and say how to get what is missing', [
    jsonOption(),
    dataDirectoryOption(),
    ...sandboxOptions(),
  ])
    .option('--fix', 'first set up what can be set up')
    .action(async (flags: DoctorFlags) => (await import('./commands/doctor.ts')).doctor(flags));

  const sandbox = command(
    slipway,
    'sandbox',
    'size, time limits and egress of the sandboxes of a stack or pool',
  );
  command(
    sandbox,
    'show',
    'show what a stack asks for and gets, or what a pool gives',
    sandboxTargetOptions(),
  ).action(async (flags: SandboxTarget) => (await import('./commands/sandbox.ts')).showSandbox(flags));
  command(
    sandbox,
    'set',
    'change what is named, for runs that are queued from now on',
    sandboxChangeOptions(),
  ).action(async (flags: SandboxChanges) => (await import('./commands/sandbox.ts')).setSandbox(flags));

  const run = command(slipway, 'run', 'how runs went, and what they used');
  command(run, 'list', 'list runs, the newest first', runListOptions()).action(async (flags: ListFlags) =>
    (await import('./commands/run.ts')).listRuns(flags),
  );
  command(run, 'show', 'show why a run ended, how long its parts took and what it used', apiOptions())
    .argument('<run>', 'its id, organization/project/stack/number, or a stack, for its newest one')
    .action(async (name: string, flags: ShowFlags) =>
      (await import('./commands/run.ts')).showRun(name, flags),
    );

  const image = command(slipway, 'image', 'executor images');
  command(image, 'build', 'build the default executor image from Debian packages, the CLI, Node and git', [
    jsonOption(),
  ]).action(async (flags: JsonFlag) => (await import('./commands/image.ts')).buildImage(flags));
  command(image, 'pull', 'fetch and convert an image, so that the first run in it need not wait', [
    jsonOption(),
  ])
    .argument('<reference>', '[registry/]repository[:tag] or [registry/]repository@sha256:…')
    .action(async (reference: string, flags: JsonFlag) =>
      (await import('./commands/image.ts')).pullImage(reference, flags),
    );
  command(image, 'ls', 'list the images of this host, the last used first', [jsonOption()]).action(
    async (flags: JsonFlag) => (await import('./commands/image.ts')).listAllImages(flags),
  );
  command(image, 'inspect', 'show what is known of an image of this host', [jsonOption()])
    .argument('<image>', 'a reference, or the beginning of a digest')
    .action(async (name: string, flags: JsonFlag) =>
      (await import('./commands/image.ts')).inspectImage(name, flags),
    );
  command(
    image,
    'status',
    'show the image that the settings of a stack name, and which runners could not make it ready (then with status 2)',
    apiOptions(),
  )
    .argument('<stack>', 'organization/project/stack')
    .action(async (stack: string, flags: ShowFlags) =>
      (await import('./commands/image-status.ts')).showImageStatus(stack, flags),
    );
  command(image, 'prune', 'remove the images and layers that no run uses; those that were built here stay', [
    jsonOption(),
  ])
    .option('--all', 'remove those that were built here too')
    .action(async (flags: PruneFlags) => (await import('./commands/image.ts')).pruneAllImages(flags));

  const guest = command(slipway, 'guest', 'kernel and initramfs of the virtual machines');
  command(guest, 'update', "take the newest kernel of Debian's archive and build the initramfs anew", [
    jsonOption(),
  ]).action(async (flags: JsonFlag) => (await import('./commands/guest.ts')).updateGuest(flags));
  command(guest, 'show', 'name the kernel and initramfs in use', [jsonOption()]).action(
    async (flags: JsonFlag) => (await import('./commands/guest.ts')).showGuest(flags),
  );
  return slipway;
}

function command(parent: Command, name: string, description: string, options: readonly Option[] = []) {
  const made = parent.command(name).description(description);
  for (const option of options) made.addOption(option);
  return made;
}
