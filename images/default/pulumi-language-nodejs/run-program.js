import { RunResponse } from '@pulumi/pulumi/proto/language_pb.js';
import { ended, startChild } from './children.js';
import { runtimeOptions } from './options.js';
import { resolveSdkModule } from './sdk.js';

/** Exit code of `@pulumi/pulumi/cmd/run` after it told the user what went wrong (sdk/nodejs/cmd/run/index.ts). */
const alreadyReported = 32;

/** `Run`: executes the program in a process of its own until it ends. `engine.address` is known after the handshake. */
export function createRunner(engine) {
  return async (request) => {
    const options = runtimeOptions(request);
    const directory = request.getInfo().getProgramDirectory() || request.getPwd();
    const argv = [
      ...nodeArguments(options),
      resolveSdkModule(directory, 'cmd/run'),
      ...flags(engine, request),
      request.getInfo().getEntryPoint() || request.getProgram() || '.',
      ...request.getArgsList(),
    ];
    const child = startChild(process.execPath, argv, {
      cwd: request.getPwd() || directory,
      env: environment(request, options),
      // What the program prints, the CLI shows as diagnostics: it reads this host's own output.
      stdio: ['ignore', 'inherit', 'inherit'],
    });
    const { code, signal } = await ended(child);
    if (code === 0) return new RunResponse();
    if (code === alreadyReported) return new RunResponse().setBail(true);
    return new RunResponse().setError(
      signal ? `Program was ended by ${signal}` : `Program exited with non-zero exit code: ${code}`,
    );
  };
}

function flags(engine, request) {
  const values = {
    monitor: request.getMonitorAddress(),
    engine: engine.address,
    organization: request.getOrganization(),
    project: request.getProject(),
    'root-directory': request.getInfo().getRootDirectory(),
    stack: request.getStack(),
    pwd: request.getPwd(),
    parallel: String(request.getParallel()),
  };
  return [
    ...Object.entries(values).flatMap(([name, value]) => (value ? [`--${name}`, value] : [])),
    ...(request.getDryrun() ? ['--dry-run'] : []),
  ];
}

function environment(request, options) {
  return {
    ...process.env,
    PULUMI_CONFIG: JSON.stringify(Object.fromEntries(request.getConfigMap().entries())),
    PULUMI_CONFIG_SECRET_KEYS: JSON.stringify(request.getConfigsecretkeysList()),
    PULUMI_NODEJS_TYPESCRIPT: String(options.typescript !== false),
    ...(options.tsconfig ? { PULUMI_NODEJS_TSCONFIG_PATH: options.tsconfig } : {}),
  };
}

/** `nodeargs` of the runtime's options: flags for Node itself. */
function nodeArguments({ nodeargs = '' }) {
  return nodeargs.split(/\s+/).filter((argument) => argument !== '');
}
