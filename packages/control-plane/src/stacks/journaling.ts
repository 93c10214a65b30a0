import { BlockList, isIPv6 } from 'node:net';
import type { FastifyRequest } from 'fastify';
import type { Principal } from '../identity/index.ts';

/** Who starts an update that may change a stack. */
export interface Starter {
  readonly principal: Principal;
  readonly isNear: boolean;
  /** That the update has to do with. */
  readonly resourceCount: number;
}

/**
 * Whether a CLI that can keep a journal is asked to, rather than to write the whole state after each step. With a
 * journal it says what it did, and little of it, but every step waits until a batch has been collected for 50 ms
 * (Pulumi CLI pkg/backend/httpstate/journal: sendBatches). Whole states are written without that wait, one after the
 * other, which is quicker while they are small and the server is near: an update of one resource by 0.2 s, the first
 * one of a hundred by a quarter. A run always keeps a journal: its processor may be an emulated one, for which whole
 * states are much work.
 */
export function keepsJournal(starter: Starter, journalFromResourceCount: number): boolean {
  const { principal, isNear, resourceCount } = starter;
  return principal.kind === 'job' || !isNear || resourceCount >= journalFromResourceCount;
}

const loopback = new BlockList();
loopback.addSubnet('127.0.0.0', 8);
loopback.addAddress('::1', 'ipv6');

/** Whether a call comes from the server's own machine, and from nobody who passes it on. */
export function isFromHere({ headers, socket }: FastifyRequest): boolean {
  const isPassedOn = ['via', 'forwarded', 'x-forwarded-for'].some((name) => headers[name] !== undefined);
  return !isPassedOn && isLoopback(socket.remoteAddress ?? '');
}

/** IPv4 addresses that are written as IPv6 ones included. */
export function isLoopback(address: string): boolean {
  return loopback.check(address, isIPv6(address) ? 'ipv6' : 'ipv4');
}
