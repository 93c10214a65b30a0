import { saysDiskFull } from '@slipway/core';
import { type HttpError, insufficientStorage, serviceUnavailable } from '../http/errors.ts';

/** PostgreSQL: class 08 (connections) and what it says while it stops, recovers or has too many clients. */
const connectionCodes = /^(08...|57P0[1-3]|53300)$/;
const socketCodes = new Set(['ECONNREFUSED', 'ECONNRESET', 'ENOENT', 'EPIPE', 'ETIMEDOUT']);
/** `pg` gives these errors no code. */
const connectionMessages =
  /^(Connection terminated|Client has encountered a connection error|Client was closed|timeout exceeded when trying to connect)/;
const diskFullCode = '53100';

/** What a call is answered with whose database failed it; undefined for failures of another kind. */
export function databaseFailure(error: unknown): HttpError | undefined {
  if (!(error instanceof Error)) return undefined;
  const code = 'code' in error && typeof error.code === 'string' ? error.code : '';
  if (code === diskFullCode) return diskFull(error.message);
  const isOfSocket = socketCodes.has(code) && 'syscall' in error;
  if (isOfSocket || connectionCodes.test(code) || connectionMessages.test(error.message)) {
    return outageFailure(error.message);
  }
  // The one that gave up holds those of the attempts.
  if (error instanceof AggregateError) return error.errors.map(databaseFailure).find((known) => known);
  return undefined;
}

/** What a call is answered with while the database does not serve, for this reason. */
export function outageFailure(reason: string): HttpError {
  if (saysDiskFull(reason)) return diskFull(reason);
  return serviceUnavailable(
    `The database of the control plane does not answer (${reason}). Nothing was changed unless it had been acknowledged; try again in a moment.`,
  );
}

function diskFull(reason: string): HttpError {
  return insufficientStorage(
    `The disk of the control plane's database is full (${reason}). Free some space there; Slipway goes on by itself then.`,
  );
}
