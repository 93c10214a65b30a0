import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { usualCancelGraceSeconds } from '@slipway/control-plane';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { usualDrainSeconds } from '../packages/cli/src/commands/runner.ts';

const run = promisify(execFile);
const repository = join(import.meta.dirname, '..');
let directory: string;
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'slipway-units-'));
});
afterAll(() => rm(directory, { recursive: true }));

const textOf = (name: string) => readFile(join(repository, 'packaging/systemd', `${name}.service`), 'utf8');

/** The unit as if this were where Slipway is installed: systemd looks whether there is such a program. */
async function installed(name: string): Promise<string> {
  const path = join(directory, `${name}.service`);
  await writeFile(path, (await textOf(name)).replaceAll('/opt/slipway', repository));
  return path;
}

function setting(unit: string, name: string): string | undefined {
  return new RegExp(`^${name}=(.*)$`, 'm').exec(unit)?.[1];
}

describe.each([
  ['slipway-server', 2],
  ['slipway-runner', 9],
])('the unit %s', (name, mostExposure) => {
  test('is understood by systemd, without a word', async () => {
    const { stdout, stderr } = await run('systemd-analyze', ['verify', await installed(name)]);
    expect(stdout + stderr).toBe('');
  });

  test(`is exposed by at most ${mostExposure} of 10, as systemd counts`, async () => {
    const threshold = `--threshold=${mostExposure * 10}`;
    await run('systemd-analyze', ['security', '--offline=true', threshold, await installed(name)]);
  });

  test('starts the program, and tells it alone to stop', async () => {
    const unit = await textOf(name);
    const [program, command] = setting(unit, 'ExecStart')?.split(' ') ?? [];
    expect(program).toBe('/opt/slipway/slipway');
    const { stdout } = await run(join(repository, 'slipway'), [command ?? '', '--help']);
    expect(stdout).toContain(`slipway ${command}`);
    expect(setting(unit, 'KillMode')).toBe('mixed');
    expect(setting(unit, 'Restart')).toBe('on-failure');
  });
});

describe('the unit of the runner', () => {
  test('waits for runs that end by themselves, and for those that are cancelled then', async () => {
    const seconds = Number(setting(await textOf('slipway-runner'), 'TimeoutStopSec'));
    // What a cancelled executor and the report of its run take beyond the grace.
    expect(seconds).toBeGreaterThanOrEqual(usualDrainSeconds + usualCancelGraceSeconds + 15);
  });

  /** systemd.exec(5): where `User=` is set, each of these implies `NoNewPrivileges=yes`, and newuidmap is setuid. */
  const implyingNoNewPrivileges = [
    ...['SystemCallFilter', 'SystemCallArchitectures', 'RestrictAddressFamilies', 'RestrictNamespaces'],
    ...[
      'RestrictRealtime',
      'RestrictSUIDSGID',
      'LockPersonality',
      'MemoryDenyWriteExecute',
      'PrivateDevices',
    ],
    ...[
      'ProtectKernelTunables',
      'ProtectKernelModules',
      'ProtectKernelLogs',
      'ProtectClock',
      'ProtectHostname',
    ],
  ];
  test.each([...implyingNoNewPrivileges, 'NoNewPrivileges', 'PrivateUsers'])(
    'does not set %s, with which runs would have no user namespaces',
    async (name) => {
      expect(setting(await textOf('slipway-runner'), name)).toBeUndefined();
    },
  );

  test('outlives a machine that the kernel killed for want of memory', async () => {
    expect(setting(await textOf('slipway-runner'), 'OOMPolicy')).toBe('continue');
  });
});
