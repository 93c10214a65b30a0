import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { descendants, isAlive } from '../../packages/runner/src/testing/host-processes.ts';
import { hostTraces } from '../../packages/runner/src/testing/host-traces.ts';
import type { NetworkNamespace } from './network-namespace.ts';
import { type RunOfRunner, sandboxProcesses } from './sandbox-processes.ts';

/** What is on this host because of a runner in a network namespace of its own, and of the run that it executes. */
export interface RunnerTraces {
  /** The processes of the run and of all that serves it. */
  processes(): string[];
  /** The namespaces, mounts, loop devices and control groups of these, and the sockets of the runner and the run. */
  others(): string[];
}

/** Looks while all is there; what is asked for later is what of it is still there. */
export function tracesOfRunner(run: RunOfRunner, host: NetworkNamespace, folder: string): RunnerTraces {
  const processIds = [...new Set([...sandboxProcesses(run), ...descendants(run.runnerId)])];
  const known = new Set([...namespacesOf(process.pid), ...namespacesOf(run.runnerId)]);
  const namespaces = new Set(processIds.flatMap(namespacesOf).filter((each) => !known.has(each)));
  return {
    processes: () =>
      [...new Set([...processIds.filter(isAlive), ...sandboxProcesses(run)])].map((id) => `process ${id}`),
    others: () => [
      ...namespacesInUse()
        .filter((each) => namespaces.has(each))
        .map((each) => `namespace ${each}`),
      ...hostTraces([run.runId], folder).filter((line) => /^(mount|loop device|cgroup) /.test(line)),
      ...socketsIn(host),
    ],
  };
}

/** `net:[4026531840]` and the like. */
function namespacesOf(pid: number | string): string[] {
  return readLinks(`/proc/${pid}/ns`);
}

/** Of all processes of this host, and those that are only held open or mounted. */
function namespacesInUse(): string[] {
  const processes = readdirSync('/proc').filter((name) => /^\d+$/.test(name));
  const mounted = readFileSync('/proc/self/mountinfo', 'utf8').match(/\b\w+:\[\d+\]/g) ?? [];
  const used = processes.flatMap((pid) => [...namespacesOf(pid), ...readLinks(`/proc/${pid}/fd`)]);
  return [...new Set([...used, ...mounted])];
}

function readLinks(folder: string): string[] {
  try {
    return readdirSync(folder).flatMap((name) => {
      try {
        return [readlinkSync(`${folder}/${name}`)];
      } catch {
        return []; // closed while being read
      }
    });
  } catch {
    return []; // ended while being read
  }
}

/** What listens in the runner's network, and every socket of UNIX there: the channels of machines and containers. */
function socketsIn(host: NetworkNamespace): string[] {
  const [command = '', ...enter] = host.enter;
  const listing = execFileSync(command, [...enter, 'ss', '-H', '-l', '-t', '-u']);
  const unix = execFileSync(command, [...enter, 'cat', '/proc/net/unix'], { encoding: 'utf8' });
  return [...listing.toString().split('\n'), ...unix.split('\n').slice(1)]
    .filter((line) => line !== '')
    .map((line) => `socket ${line.trim()}`);
}
