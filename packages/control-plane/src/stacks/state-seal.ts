import { Seal } from '../secrets/index.ts';

/** Encrypts the secrets of a stack's configuration and state. The stack keeps it when it is renamed. */
export function stateSeal(masterKey: Buffer, stackId: string): Seal {
  return new Seal(masterKey, stackId, 'state');
}
