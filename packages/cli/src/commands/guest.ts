import { cacheDirectory, ensureGuest } from '@slipway/runner';
import type { JsonFlag } from '../options.ts';

/** `slipway guest update`. */
export function updateGuest(flags: JsonFlag): Promise<void> {
  return show(true, flags);
}

/** `slipway guest show`. */
export function showGuest(flags: JsonFlag): Promise<void> {
  return show(false, flags);
}

async function show(update: boolean, { json }: JsonFlag): Promise<void> {
  const { kernelDigest, kernelPath, initramfsDigest, initramfsPath } = await ensureGuest({
    cacheDirectory: cacheDirectory(process.env),
    report: (line) => console.error(line),
    update,
  });
  if (json) {
    console.log(JSON.stringify({ kernelDigest, kernelPath, initramfsDigest, initramfsPath }, undefined, 2));
    return;
  }
  console.log(`kernel    ${kernelDigest} ${kernelPath}`);
  console.log(`initramfs ${initramfsDigest} ${initramfsPath}`);
}
