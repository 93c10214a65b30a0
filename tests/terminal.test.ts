import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { defaultImageReference } from '@slipway/runner';
import { expect, test } from 'vitest';
import { Api } from './testing/api.ts';
import { makeStack, serveEmptyProject } from './testing/deployable-stack.ts';
import { makeNetworkNamespace } from './testing/network-namespace.ts';
import { startSlipwayProcess } from './testing/slipway-process.ts';

test.each(['vm', 'container'])(
  'Ctrl-C, which reaches every process of a terminal, ends a run in the isolation %s as a stop of its runner',
  async (isolation) => {
    const directory = await mkdtemp(join(tmpdir(), 'slipway-terminal-'));
    // Disposed of last: when nothing writes there any more.
    await using _directory = { [Symbol.asyncDispose]: () => rm(directory, { recursive: true, force: true }) };
    await using cable = await makeNetworkNamespace();
    await using gitServer = await serveEmptyProject(join(directory, 'git'), cable.hostAddress);
    const start = async () => {
      const args = [
        ...['up', '--listen', '127.0.0.1:0', '--data-dir', join(directory, 'data'), '--isolation', isolation],
        ...['--cpus', '1', '--memory-mib', '768', '--volume-gib', '4', '--cancel-grace-seconds', '5'],
        ...['--default-image', defaultImageReference],
        ...['--allow-private-networks', `${cable.hostAddress}/32`],
      ];
      // The leader of a session, as a shell's job is: its processes are signalled together.
      const up = startSlipwayProcess(args, ['setsid']);
      const [, url = ''] = await up.says(/ready at (\S+)/);
      const [, token = ''] = await up.says(/PULUMI_ACCESS_TOKEN=(\S+)/);
      return { up, api: new Api(url, token) };
    };
    const first = await start();
    const stack = await makeStack(first.api, gitServer);
    const deployment = await stack.deploy('trap "echo was asked to end" INT; echo "it runs"; sleep 600');
    await deployment.logged(/^it runs$/);
    process.kill(-first.up.pid, 'SIGINT');
    expect(await first.up.ended).toBe(0);
    expect(first.up.output.match(/"message":"[^"]*"/g) ?? []).toEqual([]);

    const second = await start();
    await using _up = second.up;
    const run = deployment.through(second.api);
    expect(await run.finished()).toMatchObject({ outcome: 'failed', cause: 'runner-shutdown' });
    expect(await run.log()).toContain('was asked to end');
  },
  120_000,
);
