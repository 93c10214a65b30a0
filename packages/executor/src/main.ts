import { startupSnapshot } from 'node:v8';
import { frameToExecutor } from '@slipway/core';
import { openChannel } from './channel.ts';
import { becomeLastVictim } from './memory-priority.ts';
import { RunnerConnection } from './runner-connection.ts';
import { serveRunner } from './serve-runner.ts';

/**
 * The executor: the program inside the sandbox's container that carries out the steps of one run. It talks to the
 * runner over file descriptor 3, in the frames of the executor protocol, and ends when the runner closes that.
 */
const channelFileDescriptor = 3;

function main(): void {
  becomeLastVictim();
  // A command of the run has no say in when the executor ends: only the runner has.
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => {});

  serveRunner(new RunnerConnection(openChannel(channelFileDescriptor))).then(
    () => process.exit(),
    (error) => {
      console.error('The executor lost the runner:', error);
      process.exit(1);
    },
  );
}

// The toolbox holds the executor as it is at this point, with all of its modules loaded.
if (startupSnapshot.isBuildingSnapshot()) {
  // zod compiles what it checks an object with at the first one, which takes a tenth of a second in an emulated machine.
  const job = { stack: {}, deployment: {}, source: {}, options: {} };
  frameToExecutor.safeParse({ type: 'job', job, network: { proxy: {} }, stepUser: {} });
  startupSnapshot.setDeserializeMainFunction(main);
} else main();
