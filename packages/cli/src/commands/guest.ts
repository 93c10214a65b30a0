import { cacheDirectory, ensureGuest } from '@slipway/runner';
import type { JsonFlag } from '../options.ts';
import { printJson } from '../print-json.ts';

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
  if (json) return printJson({ kernelDigest, kernelPath, initramfsDigest, initramfsPath });
  console.log(`kernel    ${kernelDigest} ${kernelPath}`);
  console.log(`initramfs ${initramfsDigest} ${initramfsPath}`);
}
