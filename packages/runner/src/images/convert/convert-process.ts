import { openSync, unlinkSync } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import { ByteSource } from './byte-source.ts';
import { writeErofs } from './erofs.ts';
import { FileStore } from './file-store.ts';
import { ImageTree } from './image-tree.ts';
import { imageUser } from './image-user.ts';
import { unpackedLayer } from './layer-stream.ts';
import { ImageRefused, Meter } from './limits.ts';
import { type ConversionAnswer, type ConversionRequest, conversionRequest } from './protocol.ts';
import { checkPulumi } from './pulumi-program.ts';
import { readTar } from './tar-entries.ts';

/**
 * A process of its own that makes one image a device: what strangers wrote is read neither with the rights of the runner
 * nor in its memory. It ends with its standard input.
 */
const progressMilliseconds = 200;

const input = createInterface({ input: process.stdin });
input.once('line', async (line) => {
  await convert(conversionRequest.parse(JSON.parse(line))).then(answer, (error: unknown) => {
    if (!(error instanceof ImageRefused)) throw error;
    answer({ kind: 'refused', message: error.message });
  });
  process.exit();
});
input.once('close', () => process.exit(1));

function answer(message: ConversionAnswer): void {
  process.stdout.write(`${JSON.stringify(message)}\n`);
}

async function convert(request: ConversionRequest): Promise<ConversionAnswer> {
  const device = openSync(request.devicePath, 'wx+', 0o600);
  const scratchPath = `${request.devicePath}.scratch`;
  const scratch = openSync(scratchPath, 'wx+', 0o600);
  unlinkSync(scratchPath);
  const layers: FileHandle[] = [];
  for (const path of request.layers) layers.push(await open(path, 'r'));
  dropRights(request.becomeUserId);

  const meter = new Meter(request.limits);
  const files = new FileStore(device, scratch);
  const tree = new ImageTree(files, meter);
  let layersDone = 0;
  const progress = setInterval(
    () => answer({ kind: 'progress', unpackedBytes: meter.unpackedBytes, layer: layersDone }),
    progressMilliseconds,
  );
  for (const [index, layer] of layers.entries()) {
    const source = new ByteSource(unpackedLayer(layer, meter));
    await readTar(source, (entry, content) => tree.apply(index, entry, content));
    await layer.close();
    layersDone += 1;
  }
  clearInterval(progress);
  const user = imageUser(tree, request.user);
  checkPulumi(tree, user, request.searchPath);
  const { bytes } = writeErofs(tree.root, files, Buffer.from(request.uuid, 'hex'));
  return { kind: 'done', deviceBytes: bytes, user };
}

function dropRights(userId: number | undefined): void {
  if (userId === undefined) return;
  process.setgroups?.([]);
  process.setgid?.(userId);
  process.setuid?.(userId);
}
