import { buildDefaultImage, cacheDirectory } from '@slipway/runner';
import { Command } from 'commander';

export function imageCommand(): Command {
  const image = new Command('image').description('executor images');
  image
    .command('build')
    .description('build the default executor image from Debian packages, the CLI, Node and git')
    .action(async () => {
      const built = await buildDefaultImage({
        cacheDirectory: cacheDirectory(process.env),
        report: (line) => console.error(line),
      });
      console.log(`${built.reference} ${built.digest}`);
    });
  return image;
}
