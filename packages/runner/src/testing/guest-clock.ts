import { once } from 'node:events';
import type { Sandbox } from '../isolation/isolation.ts';

/** What a sandbox runs that tells its time, to the microsecond, each time it is sent a line. */
export const tellsTime =
  'while read line <&3; do set -- $(adjtimex | grep -o "tv_u*sec.*"); echo "$2 $4" >&3; done';

export interface ClockOffset {
  /** How far the clock of the sandbox is ahead of this host's. */
  readonly offsetSeconds: number;
  /** The offset may be wrong by this much, since question and answer took their time. */
  readonly uncertaintySeconds: number;
}

/** Asks a sandbox that runs `tellsTime`. */
export async function clockOffset({ channel }: Sandbox): Promise<ClockOffset> {
  const answer = once(channel, 'data');
  channel.resume();
  const askedAt = Date.now();
  channel.write('time?\n');
  const [line] = await answer;
  const answeredAt = Date.now();
  const [seconds = Number.NaN, microseconds = Number.NaN] = String(line).trim().split(' ').map(Number);
  const middle = (askedAt + answeredAt) / 2 / 1000;
  const offsetSeconds = seconds + microseconds / 1e6 - middle;
  if (Number.isNaN(offsetSeconds)) throw new Error(`the sandbox answered no time: ${line}`);
  return { offsetSeconds, uncertaintySeconds: (answeredAt - askedAt) / 2 / 1000 };
}
