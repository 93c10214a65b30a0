import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { defaultImageReference } from '@slipway/runner';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { descendants, isAlive } from '../packages/runner/src/testing/host-processes.ts';
import { Api, until } from './testing/api.ts';
import { makeStack, serveEmptyProject } from './testing/deployable-stack.ts';
import { makeNetworkNamespace } from './testing/network-namespace.ts';
import type { SlipwayProcess } from './testing/slipway-process.ts';
import {
  homeWithoutRoot,
  startAsUserWithoutRoot,
  subordinateUserIds,
  userIdWithoutRoot,
} from './testing/user-without-root.ts';

const execute = promisify(execFile);
let directory: string;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'slipway-without-root-'));
  await execute('chmod', ['0755', directory]);
});
afterAll(() => rm(directory, { recursive: true, force: true }));

async function endOf(ending: SlipwayProcess): Promise<{ status: number | string; said: string }> {
  await using process = ending;
  return { status: await process.ended, said: process.output };
}

describe('set-up', () => {
  /** dpkg's data, in which this package is not installed. */
  async function dpkgWithout(name: string): Promise<string> {
    const status = await readFile('/var/lib/dpkg/status', 'utf8');
    const others = status.split('\n\n').filter((paragraph) => !paragraph.startsWith(`Package: ${name}\n`));
    await writeFile(join(directory, 'status'), others.join('\n\n'));
    return directory;
  }

  test('ends with the one command that installs the packages that are missing', async () => {
    const environment = { DPKG_ADMINDIR: await dpkgWithout('crun') };
    const { status, said } = await endOf(startAsUserWithoutRoot(['setup'], { environment }));
    expect(status).toBe(1);
    expect(said).toMatch(
      /^slipway: Debian packages are missing.*: sudo apt-get install --yes --no-install-recommends crun$/m,
    );
    const doctor = await endOf(startAsUserWithoutRoot(['doctor'], { environment }));
    expect(doctor.status).toBe(1);
    expect(doctor.said).toMatch(
      /^✘ Debian packages: missing: crun\n +fix: sudo apt-get install --yes .* crun$/m,
    );
  });
});

test('doctor finds nothing missing for a user without root on a usual host', async () => {
  const { status, said } = await endOf(startAsUserWithoutRoot(['doctor']));
  expect(said).toMatch(/^✔ Subordinate ids: this user has some/m);
  expect(said).not.toContain('✘');
  expect(status).toBe(0);
});

describe('a host that lets users make no networks of sandboxes is told so, with the remedy,', () => {
  test.each([
    ['closed', 'this user may not open /dev/net/tun', 'sudo chmod 0666 /dev/net/tun'],
    ['absent', 'this host has no usable /dev/net/tun', 'sudo modprobe tun'],
  ] as const)('where /dev/net/tun is %s', async (tun, what, remedy) => {
    const up = await endOf(startAsUserWithoutRoot(['up', '--listen', '127.0.0.1:0'], { tun }));
    expect(up.status).toBe(1);
    expect(up.said).toContain(`${what}. Try: ${remedy}`);
    const doctor = await endOf(startAsUserWithoutRoot(['doctor'], { tun }));
    expect(doctor.status).toBe(1);
    expect(doctor.said).toContain(`✘ /dev/net/tun: ${what}\n    fix: ${remedy}\n`);
  });

  test('where user namespaces are switched off', async () => {
    const program = join(import.meta.dirname, '..', 'slipway');
    const switchOff = 'echo 0 > /proc/sys/user/max_user_namespaces && exec "$@"';
    const inNamespace = ['--user', '--map-root-user', 'sh', '-c', switchOff, 'sh'];
    const doctor = execute('unshare', [...inNamespace, program, 'doctor', '--isolation', 'container']);
    await expect(doctor).rejects.toMatchObject({
      code: 1,
      stdout: expect.stringMatching(
        /✘ User namespaces: this user may not make .*\n +fix: sudo sysctl -w user\.max_user_namespaces=\d+\n/,
      ),
    });
  });
});

/** `key: value…` of a process, e.g. its four user ids. */
async function statusOf(pid: number, key: string): Promise<string[]> {
  const text = await readFile(`/proc/${pid}/status`, 'utf8');
  const values = new RegExp(`^${key}:(.*)$`, 'm').exec(text)?.[1] ?? '';
  return values.split(/\s+/).filter((value) => value !== '');
}

async function findQemu(ancestor: number): Promise<number | undefined> {
  for (const pid of descendants(ancestor)) {
    const [name = ''] = await statusOf(pid, 'Name').catch(() => []);
    if (name.startsWith('qemu-system')) return pid;
  }
  return undefined;
}

test('a user without root, as a service too, gets runs in virtual machines, whose QEMU has another user id still and no rights', async () => {
  await using cable = await makeNetworkNamespace();
  await using gitServer = await serveEmptyProject(join(directory, 'git'), cable.hostAddress);
  const flags = [
    ...['--listen', '127.0.0.1:0', '--data-dir', join(homeWithoutRoot, 'data')],
    ...['--cpus', '1', '--memory-mib', '768', '--volume-gib', '4'],
    ...['--default-image', defaultImageReference, '--allow-private-networks', `${cable.hostAddress}/32`],
  ];
  // What works with the mounts of a service works with those of a host, which are not read-only.
  await using up = startAsUserWithoutRoot(['up', ...flags], { mounts: 'service' });
  const [, url = ''] = await up.says(/ready at (\S+)/);
  const [, token = ''] = await up.says(/PULUMI_ACCESS_TOKEN=(\S+)/);
  expect(await statusOf(up.pid, 'Uid')).toEqual(Array(4).fill(String(userIdWithoutRoot)));

  const stack = await makeStack(new Api(url, token), gitServer);
  const deployment = await stack.deploy('echo "on $(uname -r) as $(id -u)"', 'sleep 600');
  expect(await deployment.logged(/^on .*cloud-amd64 as (\d+)$/)).toBe('0');

  const qemu = await until('QEMU runs', 10_000, () => findQemu(up.pid));
  const userIds = await statusOf(qemu, 'Uid');
  expect(new Set(userIds).size).toBe(1);
  const inRange = Number(userIds[0]) - subordinateUserIds.first;
  expect(inRange).toBeGreaterThanOrEqual(0);
  expect(inRange).toBeLessThan(subordinateUserIds.count);
  expect(await statusOf(qemu, 'Groups')).toEqual([]);
  expect(await statusOf(qemu, 'NSpid')).toEqual([String(qemu), '1']);
  for (const set of ['CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb'])
    expect(await statusOf(qemu, set), set).toEqual(['0000000000000000']);

  await deployment.cancel();
  expect(await deployment.finished()).toMatchObject({ outcome: 'failed', cause: 'cancelled' });
  expect(isAlive(qemu)).toBe(false);
  up.kill('SIGTERM');
  expect(await up.ended).toBe(0);
}, 180_000);
