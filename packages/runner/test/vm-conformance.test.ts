import { cacheDirectory } from '../src/cache-directory.ts';
import { ensureGuest } from '../src/guest/ensure-guest.ts';
import { createVmIsolation } from '../src/isolation/vm/vm-isolation.ts';
import { describeIsolation } from './isolation-conformance.ts';

const cache = cacheDirectory(process.env);

describeIsolation('vm', {
  open: async (folder) => {
    const guest = await ensureGuest({ cacheDirectory: cache, report: () => {} });
    return createVmIsolation({ guest, folder, cacheDirectory: cache });
  },
  cpuCount: 'grep -c ^processor /proc/cpuinfo',
  // The virtio port's own queue in the guest: 1024 pieces of 32 KiB.
  channelBufferMiB: 33,
  // All that is written is emulated: of a gibibyte that takes half a minute.
  smallVolumeGiB: 0.5,
  cacheTransfer: 'device',
  // Emulated, on a host that has other things to do.
  timeoutMilliseconds: 240_000,
});
