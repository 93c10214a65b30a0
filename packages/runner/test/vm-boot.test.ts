import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { cacheDirectory } from '../src/cache-directory.ts';
import { guestSources } from '../src/guest/compile.ts';
import { detectAcceleration } from '../src/isolation/vm/acceleration.ts';
import { guestWithInit } from '../src/testing/changed-guest.ts';
import { outputOf } from '../src/testing/sandbox-bench.ts';
import { openVmBench, ownGuest, vmTimeoutMilliseconds } from '../src/testing/vm-bench.ts';

/** What it has seen stays in the memory of the machine's clock, which survives a reset. */
const notTheFirstTime = (firstTime: string) => `
  #include "${guestSources}/init.h"
  #include <fcntl.h>
  #include <sys/io.h>
  #include <unistd.h>
  int main(void) {
    if (ioperm(0x70, 2, 1) != 0) return 1;
    outb(0x60, 0x70);
    if (inb(0x71) == 0xa5) return execl("/own-init", "init", (char *)0);
    outb(0xa5, 0x71);
    ${firstTime}
    for (;;) pause();
  }`;
const mistakesItsTimer = `
  mounts_prepare();
  modules_load("/modules/boot");
  channel_open();
  port_open("executor", O_RDWR);
  channel_report("{\\"event\\":\\"boot\\",\\"kernelRelease\\":\\"6.1\\",\\"bootId\\":\\"0\\",\\"timerHertz\\":1000}");`;

const guest = await ownGuest();
const { acceleration } = await detectAcceleration(guest, cacheDirectory(process.env));
const isEmulated = acceleration.kind === 'emulation';

describe.runIf(isEmulated)('a machine that is emulated', { timeout: vmTimeoutMilliseconds }, () => {
  let folder = '';
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'slipway-boot-'));
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  test.each([
    ['it hangs as it boots', ''],
    ['its kernel has mistaken its timer', mistakesItsTimer],
  ])('boots again when %s, and then does its work', async (_what, firstTime) => {
    writeFileSync(join(folder, 'program.c'), notTheFirstTime(firstTime));
    const changed = await guestWithInit(guest, folder, [join(folder, 'program.c')]);
    await using bench = await openVmBench({ guest: changed, bootPatienceMilliseconds: 6_000 });
    const sandbox = await bench.start('hostname >&3; read word <&3; echo $word >&3', { hostname: 'again' });
    await sandbox.started;
    sandbox.channel.write('told\n');
    expect(await outputOf(sandbox)).toBe('again\ntold\n');
  });

  test('says so when its kernel mistakes its timer in each boot', async () => {
    // Told that its time stamp counter is eight times as fast as it is, it takes eight times as long to measure its timer.
    const tscRatePath = join(folder, 'tsc-rate');
    writeFileSync(tscRatePath, `#!/bin/sh\necho $(($(${guest.tscRatePath}) * 8))\n`);
    chmodSync(tscRatePath, 0o755);
    mkdirSync(join(folder, 'cache'));
    await using bench = await openVmBench({
      guest: { ...guest, tscRatePath },
      cacheDirectory: join(folder, 'cache'),
    });
    const sandbox = await bench.start('exit 0');
    const message = expect.stringMatching(
      /^The kernel took its timer to be ([4-9]|1\d)\.\d\d times .* in 3 boots before/,
    );
    await expect(sandbox.started).rejects.toMatchObject({ runCause: 'sandbox-failed', message });
    expect(await sandbox.exited).toMatchObject({ cause: 'sandbox-failed', message });
  });

  test('has its processors measure no delay loop: that takes each a tenth of a second', async () => {
    await using bench = await openVmBench();
    const sandbox = await bench.start('grep bogomips /proc/cpuinfo | sort | uniq -c >&3', {
      size: { cpus: 2 },
    });
    const [, bogomips] = /^ +2 bogomips\t: (\d+\.\d\d)\n$/.exec(await outputOf(sandbox)) ?? [];
    // Two steps of the counter a loop.
    const told = isEmulated ? (acceleration.tscKiloHertz * 2) / 1000 : 0;
    expect(Number(bogomips) / told).toBeCloseTo(1, 2);
  });
});
