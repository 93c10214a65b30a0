import { program } from 'commander';
import { doctorCommand } from './commands/doctor.ts';
import { guestCommand } from './commands/guest.ts';
import { imageCommand } from './commands/image.ts';
import { quickstartCommand } from './commands/quickstart.ts';
import { runnerCommand } from './commands/runner.ts';
import { serverCommand } from './commands/server.ts';
import { setupCommand } from './commands/setup.ts';
import { upCommand } from './commands/up.ts';
import { loadConfigurationFile } from './configuration.ts';

program
  .name('slipway')
  .description(
    'Self-hosted runner service for Pulumi: every deployment in its own single-use virtual machine.',
  )
  .version('0.1.0')
  .option('--config <file>', 'configuration file (YAML), default ~/.slipway/config.yaml')
  .showHelpAfterError('(slipway <command> --help tells more)')
  .addCommand(upCommand())
  .addCommand(serverCommand())
  .addCommand(runnerCommand())
  .addCommand(quickstartCommand())
  .addCommand(setupCommand())
  .addCommand(doctorCommand())
  .addCommand(imageCommand())
  .addCommand(guestCommand());

try {
  await loadConfigurationFile(process.argv, process.env);
  await program.parseAsync();
} catch (error) {
  console.error(`slipway: ${error instanceof Error ? error.message : error}`);
  if (process.env.SLIPWAY_DEBUG && error instanceof Error) console.error(error.stack, error.cause ?? '');
  process.exitCode = 1;
}
