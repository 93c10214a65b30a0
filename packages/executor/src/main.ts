import { startupSnapshot } from 'node:v8';
import { openChannel } from './channel.ts';
import { rehearse } from './rehearse.ts';
import { RunnerConnection } from './runner-connection.ts';
import { serveRunner } from './serve-runner.ts';

/**
 * The executor: the program inside the sandbox's container that carries out the steps of one run. It talks to the
 * runner over file descriptor 3, in the frames of the executor protocol, and ends when the runner closes that.
 */
const channelFileDescriptor = 3;

function main(): void {
  // Not by exiting: that waits for the read that is under way at the channel, and so for the runner, who waits for us.
  process.on('uncaughtException', (error) => {
    console.error('The executor failed:', error);
    process.kill(process.pid, 'SIGKILL');
  });
  // An emulated machine translates code when it first runs: one that waits for its job has the time for that. An image
  // in which it fails, as there is no /tmp, is none the worse for it.
  const whileIdle = () => void rehearse().catch(() => {});
  serveRunner(new RunnerConnection(openChannel(channelFileDescriptor)), whileIdle).then(
    () => process.exit(),
    (error) => {
      console.error('The executor lost the runner:', error);
      process.exit(1);
    },
  );
}

// The toolbox holds the executor as it is then, with all of its modules loaded.
if (startupSnapshot.isBuildingSnapshot()) {
  startupSnapshot.setDeserializeMainFunction(main);
  void rehearse();
} else main();
