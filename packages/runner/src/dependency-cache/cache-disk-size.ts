import { cacheLimits, type IsolationKind } from '@slipway/core';

/** Room that a run's dependencies take beside its volume at most: in a virtual machine they lie on a disk of their own. */
export function cacheDiskSizeGiB(isolation: IsolationKind, keepsDependencies: boolean): number {
  return isolation === 'vm' && keepsDependencies ? cacheLimits.deviceGiB : 0;
}
