import { execFileSync } from 'node:child_process';
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import type { SandboxBench } from '../packages/runner/src/testing/sandbox-bench.ts';
import { SandboxShell, shellScript } from '../packages/runner/src/testing/sandbox-shell.ts';
import { openVmBench } from '../packages/runner/src/testing/vm-bench.ts';
import type { Benchmark } from './benchmark.ts';

/** A gigabyte of small files; fewer for a quick look. */
const files = Number(process.env.SLIPWAY_BENCH_CACHE_FILES ?? 100_000);
const fileBytes = 10_000;
const size = { cpus: 2, memoryMiB: 4096, volumeGiB: 16 };
const patienceMilliseconds = 600_000;

/** Seconds, all of the same tree in the same kind of virtual machine. */
interface Times {
  readonly mount: number;
  readonly readMounted: number;
  readonly seal: number;
  readonly unpack: number;
  readonly readUnpacked: number;
  readonly pack: number;
}

/** One measurement serves all three promises. */
let measured: Promise<Times> | undefined;

const benchmark = (
  name: string,
  what: string,
  maximumRatio: number,
  pick: (times: Times) => { ours: number; reference: number },
): Benchmark => ({
  name,
  description: `${what} of ${files} files of ${fileBytes} bytes in a VM`,
  maximumRatio,
  measure: async (report) => {
    measured ??= measure(report);
    return { ...pick(await measured), unit: 's' };
  },
});

export const cacheRestore = benchmark(
  'cache-restore',
  'making a cache entry usable, against `zstd -d | tar -x`,',
  0.01,
  ({ mount, unpack }) => ({ ours: mount, reference: unpack }),
);
export const cacheRestoreRead = benchmark(
  'cache-restore-read',
  'the same and reading every file once, on both sides,',
  0.5,
  (times) => ({ ours: times.mount + times.readMounted, reference: times.unpack + times.readUnpacked }),
);
export const cacheSave = benchmark(
  'cache-save',
  'saving a cache entry, against `tar | zstd`,',
  1,
  ({ seal, pack }) => ({ ours: seal, reference: pack }),
);

async function measure(report: (line: string) => void): Promise<Times> {
  const work = mkdtempSync(join(tmpdir(), 'slipway-bench-cache-'));
  const bench = await openVmBench({}, (root) => addTools(root, work));
  try {
    const entry = join(work, 'entry');
    writeFileSync(entry, '');
    const saving = await saveTimes(bench, entry);
    report(`saved: ${(statSync(entry).blocks / 2048).toFixed(0)} MiB; ${describe(saving)}`);
    const restoring = await restoreTimes(bench, entry);
    report(`restored: ${describe(restoring)}`);
    return { ...saving, ...restoring };
  } finally {
    await bench.close();
    rmSync(work, { recursive: true });
  }
}

const describe = (times: object) =>
  Object.entries(times)
    .map(([name, seconds]) => `${name} ${Number(seconds).toFixed(2)} s`)
    .join(', ');

async function saveTimes(bench: SandboxBench, entry: string) {
  const { shell, device } = await machine(bench);
  await shell.run('mkdir /plain /cached');
  await expectSuccess(shell, `tree make /plain ${files} ${fileBytes}`);
  const pack = await timeOf(() => expectSuccess(shell, 'tar -C /plain -cf - . | zstd -q > /archive'));
  await expectSuccess(shell, 'rm -r /plain /archive');
  await device.mountNew(entry, ['/cached'], patienceMilliseconds);
  await expectSuccess(shell, `tree make /cached ${files} ${fileBytes}`);
  const seal = await timeOf(() => device.seal(patienceMilliseconds));
  await bench.clear();
  return { pack, seal };
}

async function restoreTimes(bench: SandboxBench, entry: string) {
  const { shell, device } = await machine(bench);
  await shell.run('mkdir /plain /cached');
  const mount = await timeOf(() => device.mountKept(entry, ['/cached'], patienceMilliseconds));
  const readMounted = await timeOf(() => expectAllRead(shell, '/cached'));
  const unpack = await timeOf(() => expectSuccess(shell, 'zstd -dcq /archive.tar.zst | tar -C /plain -xf -'));
  const readUnpacked = await timeOf(() => expectAllRead(shell, '/plain'));
  await bench.clear();
  return { mount, readMounted, unpack, readUnpacked };
}

async function machine(bench: SandboxBench) {
  const sandbox = await bench.start(shellScript, { size, environment: { PATH: '/tools:/bin' } });
  const shell = new SandboxShell(sandbox);
  await sandbox.started;
  if (sandbox.cacheDevice === null) throw new Error('a virtual machine has a cache device');
  return { shell, device: sandbox.cacheDevice };
}

async function expectSuccess(shell: SandboxShell, line: string): Promise<void> {
  const output = await shell.run(line);
  if (output !== '') throw new Error(`"${line}" in the machine said: ${output}`);
}

async function expectAllRead(shell: SandboxShell, folder: string): Promise<void> {
  const output = await shell.run(`tree read ${folder}`);
  if (output !== `${files} files\n`) throw new Error(`Of ${files} files were read: ${output}`);
}

async function timeOf(work: () => Promise<unknown>): Promise<number> {
  const start = performance.now();
  await work();
  return (performance.now() - start) / 1000;
}

/** What the reference needs: the usual tools of Debian with their libraries, and the tree as an archive. */
function addTools(root: string, work: string): void {
  mkdirSync(join(root, 'tools'));
  const tree = join(root, 'tools', 'tree');
  execFileSync('gcc', ['-static', '-O2', '-o', tree, join(import.meta.dirname, 'cache-restore-tree.c')]);
  for (const name of ['tar', 'zstd']) {
    const path = execFileSync('sh', ['-c', `command -v ${name}`], { encoding: 'utf8' }).trim();
    copyFileSync(path, join(root, 'tools', name));
    for (const [, library = ''] of execFileSync('ldd', [path], { encoding: 'utf8' }).matchAll(
      /(?:=> |^\s*)(\/\S+) \(0x/gm,
    )) {
      mkdirSync(join(root, dirname(library)), { recursive: true });
      copyFileSync(library, join(root, library));
    }
  }
  const made = join(work, 'tree');
  mkdirSync(made);
  execFileSync(tree, ['make', made, String(files), String(fileBytes)]);
  execFileSync('sh', ['-c', `tar -C "$0" -cf - . | zstd -q > "$1"`, made, join(root, 'archive.tar.zst')]);
  rmSync(made, { recursive: true });
}
