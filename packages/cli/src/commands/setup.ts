import { Command } from 'commander';
import { setUp } from '../setup/setup.ts';

export function setupCommand(): Command {
  return new Command('setup')
    .description('set up what is missing on this host: Debian packages, guest, CLI, toolbox, executor image')
    .action(() => setUp(process.env));
}
