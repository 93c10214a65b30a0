import { openVmIsolation } from '../src/testing/vm-bench.ts';
import { describeIsolation } from './isolation-conformance.ts';

describeIsolation('vm', {
  open: openVmIsolation,
  cpuCount: 'grep -c ^processor /proc/cpuinfo',
  // The virtio port's own queue in the guest: 1024 pieces of 32 KiB.
  channelBufferMiB: 33,
  // All that is written is emulated: of a gibibyte that takes half a minute.
  smallVolumeGiB: 0.5,
  cacheTransfer: 'device',
  mayAnswerLate: true,
  // Emulated, on a host that has other things to do.
  timeoutMilliseconds: 240_000,
});
