import { cacheDirectory, ensureGuest } from '@slipway/runner';
import { Command } from 'commander';

export function guestCommand(): Command {
  const guest = new Command('guest').description('kernel and initramfs of the virtual machines');
  guest
    .command('update')
    .description("take the newest kernel of Debian's archive and build the initramfs anew")
    .action(() => show(true));
  guest
    .command('show')
    .description('name the kernel and initramfs in use')
    .action(() => show(false));
  return guest;
}

async function show(update: boolean): Promise<void> {
  const guest = await ensureGuest({
    cacheDirectory: cacheDirectory(process.env),
    report: (line) => console.error(line),
    update,
  });
  console.log(`kernel    ${guest.kernelDigest} ${guest.kernelPath}`);
  console.log(`initramfs ${guest.initramfsDigest} ${guest.initramfsPath}`);
}
