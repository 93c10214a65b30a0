import { homedir } from 'node:os';
import { join } from 'node:path';

/**
 * Where things are kept that can be built again: guest kernel and initramfs, toolbox, images, the `pulumi` CLI.
 * `SLIPWAY_CACHE_DIR`, else `$XDG_CACHE_HOME/slipway`, else `~/.cache/slipway`.
 */
export function cacheDirectory(environment: NodeJS.ProcessEnv): string {
  return (
    environment.SLIPWAY_CACHE_DIR ?? join(environment.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'slipway')
  );
}
