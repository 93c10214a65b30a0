import { buildDefaultImage, cacheDirectory } from '@slipway/runner';
import type { JsonFlag } from '../options.ts';

/** `slipway image build`. */
export async function buildImage({ json }: JsonFlag): Promise<void> {
  const { reference, digest } = await buildDefaultImage({
    cacheDirectory: cacheDirectory(process.env),
    report: (line) => console.error(line),
  });
  console.log(json ? JSON.stringify({ reference, digest }, undefined, 2) : `${reference} ${digest}`);
}
