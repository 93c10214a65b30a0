import { createRequire } from 'node:module';
import { join } from 'node:path';

/**
 * Path of a module of the program's own `@pulumi/pulumi`; without one, of the SDK that the image brings along, which
 * NODE_PATH names (the start script sets it), so that a program without `node_modules` runs too.
 */
export function resolveSdkModule(directory, name) {
  try {
    return createRequire(join(directory, 'package.json')).resolve(`@pulumi/pulumi/${name}`);
  } catch (error) {
    if (error.code !== 'MODULE_NOT_FOUND') throw error;
    throw new Error(
      `The Pulumi SDK (npm package @pulumi/pulumi) is not installed for the program in ${directory}. ` +
        'Run `pulumi install` there first.',
    );
  }
}
