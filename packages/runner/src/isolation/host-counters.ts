import { readFileSync } from 'node:fs';
import type { ResourceUse } from '@slipway/core';

/** `USER_HZ`: in this unit the kernel tells times of processes, whatever its own clock. */
const ticksPerSecond = 100;
const pageBytes = 4096;

/** What a process with all its threads has used (man 5 proc). Throws when it is gone. */
export function processUse(processId: number): Pick<ResourceUse, 'cpuMilliseconds' | 'memoryBytes'> {
  const stat = readFileSync(`/proc/${processId}/stat`, 'utf8');
  // The name of the program, in parentheses, may hold anything.
  const afterName = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const [userTicks = 0, systemTicks = 0] = afterName.slice(11, 13).map(Number);
  const [, residentPages = 0] = readFileSync(`/proc/${processId}/statm`, 'utf8').split(' ').map(Number);
  return {
    cpuMilliseconds: ((userTicks + systemTicks) * 1000) / ticksPerSecond,
    memoryBytes: residentPages * pageBytes,
  };
}

/** What went through `eth0` of the network namespace of a process. Throws when it is gone. */
export function networkTraffic(processId: number): Pick<ResourceUse, 'receivedBytes' | 'sentBytes'> {
  const line = /^\s*eth0:(.*)$/m.exec(readFileSync(`/proc/${processId}/net/dev`, 'utf8'));
  const numbers = (line?.[1] ?? '').trim().split(/\s+/).map(Number);
  return { receivedBytes: numbers[0] ?? 0, sentBytes: numbers[8] ?? 0 };
}
