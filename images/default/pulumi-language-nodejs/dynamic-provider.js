import { createRequire } from 'node:module';
import { whenParentIsGone } from './parent-watch.js';
import { resolveSdkModule } from './sdk.js';

whenParentIsGone(() => process.exit(0));

/**
 * The provider of dynamic resources: that of the program's own `@pulumi/pulumi`, in whose folder the engine starts it.
 * Pulumi's own script starts Node twice, once to find the module; here one process finds and loads it.
 */
createRequire(import.meta.url)(resolveSdkModule(process.cwd(), 'cmd/dynamic-provider'));
