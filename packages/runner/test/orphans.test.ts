import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { cgroupParents } from '../src/isolation/container/cgroup.ts';
import { removeOrphans } from '../src/isolation/orphans.ts';
import { SandboxNames } from '../src/isolation/sandbox-names.ts';
import { killAgainAndAgain } from '../src/testing/kill-cycles.ts';

let folder: string;
let otherFolder: string;
const processes: ChildProcess[] = [];
const groups: string[] = [];
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'slipway-orphans-'));
  otherFolder = mkdtempSync(join(tmpdir(), 'slipway-orphans-'));
});
afterEach(() => {
  for (const child of processes.splice(0)) child.kill('SIGKILL');
  for (const group of groups.splice(0)) if (existsSync(group)) rmdirSync(group);
  for (const each of [folder, otherFolder]) rmSync(each, { recursive: true });
});

/** What a sandbox of that name would have on the host. */
async function make(name: string, volumes: string) {
  const child = spawn('sh', ['-c', 'echo begun; read -r _', name], { stdio: ['pipe', 'pipe', 'inherit'] });
  processes.push(child);
  const ended = once(child, 'exit');
  await once(child.stdout, 'data');
  const made = cgroupParents().map((parent) => join(parent, name));
  for (const group of made) mkdirSync(group);
  groups.push(...made);
  const file = join(volumes, `${name}.volume`);
  writeFileSync(file, '');
  const isThere = () => [child.signalCode === null, ...[...made, file].map((path) => existsSync(path))];
  return { child, ended, isThere };
}

/** The names that a process gave that has ended. */
async function nameOfKilled(volumes: string): Promise<string> {
  const path = join(import.meta.dirname, '../src/isolation/sandbox-names.ts');
  const script = `import { SandboxNames } from ${JSON.stringify(path)}; console.log(new SandboxNames(${JSON.stringify(volumes)}).take('run-1')); setInterval(() => {}, 1000);`;
  const killed = spawn(process.execPath, ['--input-type=module', '-e', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const [line] = await once(killed.stdout, 'data');
  const name = String(line).trim();
  expect(new SandboxNames(volumes).isOrphan(name)).toBe(false);
  killed.kill('SIGKILL');
  await once(killed, 'exit');
  return name;
}

test('what a killed runner left is removed: processes, control groups and files', async () => {
  const left = await make(await nameOfKilled(folder), folder);
  const removed = await removeOrphans(new SandboxNames(folder));
  await left.ended;
  expect(left.isThere()).not.toContain(true);
  expect(removed).toHaveLength(left.isThere().length);
  expect(await removeOrphans(new SandboxNames(folder))).toEqual([]);
});

test('a process in the control groups ends too', async () => {
  const name = await nameOfKilled(folder);
  const group = join(cgroupParents()[0] ?? '', name);
  mkdirSync(group);
  groups.push(group);
  const child = spawn('sleep', ['600']);
  processes.push(child);
  writeFileSync(join(group, 'cgroup.procs'), String(child.pid));
  await removeOrphans(new SandboxNames(folder));
  expect(existsSync(group)).toBe(false);
});

test('what belongs to a sandbox that lives, or to another runner of the host, is not touched', async () => {
  const names = new SandboxNames(folder);
  const live = await make(names.take('run-2'), folder);
  const others = await make(await nameOfKilled(otherFolder), otherFolder);
  writeFileSync(join(folder, 'somebody-elses.volume'), '');
  expect(await removeOrphans(names)).toEqual([]);
  // Nor does another process that looks after the same folder.
  const path = join(import.meta.dirname, '../src/isolation');
  const script = `import { SandboxNames } from '${path}/sandbox-names.ts'; import { removeOrphans } from '${path}/orphans.ts'; console.log(JSON.stringify(await removeOrphans(new SandboxNames(${JSON.stringify(folder)}))));`;
  const other = spawn(process.execPath, ['--input-type=module', '-e', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const [said] = await once(other.stdout, 'data');
  expect(JSON.parse(String(said))).toEqual([]);
  expect([...live.isThere(), ...others.isThere()]).not.toContain(false);
  expect(readdirSync(folder)).toContain('somebody-elses.volume');
});

test('what of this process is left after its sandbox was ended is removed', async () => {
  const names = new SandboxNames(folder);
  const name = names.take('run-3');
  const left = await make(name, folder);
  names.giveBack(name);
  await removeOrphans(names);
  await left.ended;
  expect(left.isThere()).not.toContain(true);
});

test('kill -9 of a process that starts and ends containers leaves nothing, at whatever point: 20 times', async () => {
  const lines: string[] = [];
  const cycles = () =>
    killAgainAndAgain({
      isolation: 'container',
      count: 5,
      spreadMilliseconds: 3_000,
      report: (line) => lines.push(line),
    });
  // They wait most of the time, and each has a folder of its own, as runners of one host have.
  await Promise.all([cycles(), cycles(), cycles(), cycles()]);
  expect(lines).toHaveLength(20);
}, 400_000);

test('kill -9 of a process that starts and ends virtual machines leaves nothing: 3 times', async () => {
  const lines: string[] = [];
  await killAgainAndAgain({
    isolation: 'vm',
    count: 3,
    spreadMilliseconds: 4_000,
    report: (line) => lines.push(line),
  });
  expect(lines).toHaveLength(3);
}, 200_000);
