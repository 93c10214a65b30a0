import { defaultImageReference } from '../setup/default-image/default-image.ts';
import { runCommand } from '../setup/run-command.ts';

/** Pulumi's own executor image: the default where its registry answers. */
const publishedImageReference = 'pulumi/pulumi:latest';
const askTimeoutMilliseconds = 5_000;

/**
 * The executor image of runs that name none: `pulumi/pulumi` when its registry answers within five seconds, otherwise
 * the one that set-up built on this host.
 */
export async function chooseDefaultImage(): Promise<string> {
  return runCommand(['skopeo', 'inspect', '--raw', `docker://${publishedImageReference}`], {
    timeoutMilliseconds: askTimeoutMilliseconds,
  }).then(
    () => publishedImageReference,
    () => defaultImageReference,
  );
}
