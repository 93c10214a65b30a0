import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { closeSync, openSync } from 'node:fs';
import type { Duplex } from 'node:stream';
import { type Cause, saysDiskFull } from '@slipway/core';
import { isDiskFullError } from '../../host-disk.ts';
import { type SandboxSpec, SandboxStartError } from '../isolation.ts';
import type { SandboxNames } from '../sandbox-names.ts';
import type { VolumeRoom } from '../shortages.ts';
import { VolumeFile } from '../volume-file.ts';
import type { SandboxCgroup } from './cgroup.ts';
import { ociConfiguration } from './oci-configuration.ts';
import type { ContainerRuntime } from './runtime.ts';
import {
  aliveDescriptor,
  bundlePaths,
  channelDescriptor,
  onStarted,
  supervisorScript,
} from './supervisor-script.ts';
import { openVolume } from './volume.ts';

/** How the first process of a sandbox's namespaces ended. */
export interface SupervisorEnd {
  readonly started: boolean;
  /** Exit status of the container as a shell has it: 128 + n for signal n. Null when it was killed together with it. */
  readonly status: number | null;
  /** Null when it could not be told any more. */
  readonly volume: Omit<VolumeRoom, 'folders'> | null;
  /** The last that container and supervisor wrote to standard output and error. */
  readonly lastOutput: string;
}

/** The process that holds the sandbox's namespaces and all that is mounted in them. */
export interface Supervisor {
  readonly channel: Duplex;
  /** Rejects with a `SandboxStartError` when the container will never start. */
  readonly started: Promise<void>;
  readonly ended: Promise<SupervisorEnd>;
  /** Process id on the host of the first process in the namespaces; rejects when there will never be one. */
  readonly firstProcess: Promise<number>;
  /** Stays open until the caller closes it. */
  readonly volume: VolumeFile;
  /**
   * Runs a command inside the supervisor's mount and PID namespaces; `descriptor` becomes its descriptor 3. Answers what
   * it wrote to standard output. Throws when it fails or takes more than ten seconds.
   */
  run(argv: readonly string[], descriptor?: number): Promise<string>;
  /** Kills everything in the namespaces; `ended` tells when it is gone. */
  kill(): Promise<void>;
}

/** What all containers of a runner share. */
export interface ContainerParts {
  /** Their folder is where volumes are made. */
  readonly names: SandboxNames;
  readonly runtime: ContainerRuntime;
}

const keptOutputCharacters = 4096;
/** Said so often that some of it may be late before the container counts as left alone. */
const aliveShare = 1 / 4;
const commandTimeoutMilliseconds = 10_000;

/** Starts the supervisor of a sandbox; it dies with the calling process. */
export function spawnSupervisor(
  spec: SandboxSpec,
  parts: ContainerParts,
  name: string,
  cgroup: SandboxCgroup,
): Supervisor {
  const files: number[] = [];
  let volume: number | undefined;
  try {
    for (const { erofsPath } of [spec.image, spec.toolbox]) files.push(openSync(erofsPath, 'r'));
    volume = openVolume(parts.names.folder, name);
    return start(spec, parts, name, cgroup, { readOnly: files, volume });
  } catch (error) {
    if (volume !== undefined) closeSync(volume);
    throw new SandboxStartError(
      `The files of the sandbox could not be opened: ${String(error)}`,
      isDiskFullError(error) ? 'host-disk-full' : 'sandbox-failed',
      {
        cause: error,
      },
    );
  } finally {
    for (const descriptor of files) closeSync(descriptor);
  }
}

function start(
  spec: SandboxSpec,
  { names: { folder }, runtime }: ContainerParts,
  name: string,
  cgroup: SandboxCgroup,
  files: { readonly readOnly: readonly number[]; readonly volume: number },
): Supervisor {
  const bundle = bundlePaths(folder);
  const configuration = ociConfiguration(spec, bundle, cgroup.mounts, onStarted(folder));
  const machineId = randomBytes(16).toString('hex');
  const outermost = spawn(
    'setpriv',
    [
      ...['--pdeathsig', 'KILL', ...spec.network.enter],
      ...['unshare', '--mount', '--pid', '--fork', '--kill-child=SIGKILL'],
      ...[
        'sh',
        '-c',
        supervisorScript(runtime),
        name, // by which it is found, should it be left behind
        folder,
        String(spec.size.volumeGiB),
        spec.hostname,
        spec.network.nameserver,
        spec.network.gatewayAddress,
        machineId,
        String(spec.silenceSeconds),
      ],
      ...cgroup.directories,
    ],
    {
      stdio: ['pipe', 'pipe', 'pipe', 'pipe', ...files.readOnly, files.volume, 'pipe'],
      env: { PATH: process.env.PATH },
      // Out of reach of a terminal's Ctrl-C: the runner ends it, when the run has had its time.
      detached: true,
    },
  );
  const { stdin, stdout, stderr } = outermost;
  const pipes: readonly unknown[] = outermost.stdio;
  const [channel, alive] = [pipes[channelDescriptor], pipes[aliveDescriptor]];
  if (stdin === null || stdout === null || stderr === null || !isDuplex(channel) || !isDuplex(alive)) {
    outermost.kill('SIGKILL');
    throw new Error('the supervisor was started without its pipes');
  }
  stdin.on('error', () => {}); // It ended before it read its configuration; `ended` tells.
  const place = { pidLimit: spec.pidLimit, outerCgroups: cgroup.outside, tmp: bundle.tmp };
  stdin.end(JSON.stringify(runtime.adapt(configuration, place)));
  // The far end is gone once the container is: `exited` tells that, and a write into it is no failure of the runner.
  channel.on('error', () => {});
  alive.on('error', () => {});
  const isAlive = setInterval(() => alive.write('.'), spec.silenceSeconds * 1000 * aliveShare);
  isAlive.unref();

  let reports = '';
  let lastOutput = '';
  const events = new EventTarget();
  stdout.on('data', (chunk: Buffer) => {
    reports += chunk.toString();
    events.dispatchEvent(new Event('report'));
  });
  stderr.on('data', (chunk: Buffer) => {
    lastOutput = (lastOutput + chunk.toString()).slice(-keptOutputCharacters);
  });
  const ended = new Promise<SupervisorEnd>((resolve) => {
    let open = 3;
    const one = () => {
      open -= 1;
      if (open > 0) return;
      clearInterval(isAlive);
      alive.destroy();
      const exit = /^exited (\d+) (\d+) (\d+) (\d+) (\d+)$/m.exec(reports);
      const [, status, freeBlocks, blockBytes, freeFiles, totalFiles] = (exit ?? []).map(Number);
      resolve({
        started: /^started$/m.test(reports),
        status: status ?? null,
        volume:
          freeBlocks === undefined ||
          blockBytes === undefined ||
          freeFiles === undefined ||
          totalFiles === undefined
            ? null
            : { freeBytes: freeBlocks * blockBytes, freeFiles, totalFiles },
        lastOutput: lastOutput.trim(),
      });
    };
    outermost.once('exit', one);
    outermost.once('error', (error) => {
      lastOutput = error.message;
      one();
    });
    stdout.once('close', one);
    stderr.once('close', one);
  });
  const reported = (report: RegExp) =>
    new Promise<string>((resolve, reject) => {
      const look = () => {
        const match = report.exec(reports);
        if (match !== null) resolve(match[1] ?? '');
      };
      look();
      events.addEventListener('report', look);
      void ended.then((end) =>
        reject(
          new SandboxStartError(
            `The container did not start. ${end.lastOutput || 'It was killed.'}`,
            startFailureOf(end.lastOutput),
          ),
        ),
      );
    });
  const firstProcess = reported(/^supervisor (\d+)$/m).then(Number);
  firstProcess.catch(() => {});

  return {
    channel,
    started: reported(/^(started)$/m).then(() => {}),
    ended,
    firstProcess,
    volume: new VolumeFile(files.volume),
    async run(argv, descriptor) {
      return runToEnd(
        ['nsenter', `--target=${await firstProcess}`, '--mount', '--pid', '--', ...argv],
        descriptor,
      );
    },
    async kill() {
      // The first process, not the outermost: that one waits for it, so its end proves that the namespaces are empty.
      const first = await firstProcess.catch(() => null);
      if (first === null || outermost.exitCode !== null || outermost.signalCode !== null) return;
      try {
        process.kill(first, 'SIGKILL');
      } catch (error) {
        // It ended by itself this moment, and the outermost process, which would have told, has yet to end.
        if (!(error instanceof Error && 'code' in error && error.code === 'ESRCH')) throw error;
      }
    },
  };
}

/** Why a container did not start, from what was said last. All that its start writes to is of this host. */
export function startFailureOf(lastOutput: string): Extract<Cause, 'host-disk-full' | 'sandbox-failed'> {
  return saysDiskFull(lastOutput) ? 'host-disk-full' : 'sandbox-failed';
}

function runToEnd([command = '', ...rest]: readonly string[], descriptor?: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, rest, {
      stdio: ['ignore', 'pipe', 'pipe', descriptor ?? 'ignore'],
      timeout: commandTimeoutMilliseconds,
      killSignal: 'SIGKILL',
    });
    let output = '';
    let errors = '';
    child.stdout?.on('data', (chunk: Buffer) => {
      output += chunk.toString();
    });
    child.stderr?.on('data', (chunk: Buffer) => {
      errors = (errors + chunk.toString()).slice(-keptOutputCharacters);
    });
    child.once('error', reject);
    child.once('close', (code, signal) => {
      if (code === 0) resolve(output);
      else
        reject(
          new Error(`${command} in the sandbox ended with ${signal ?? `status ${code}`}: ${errors.trim()}`),
        );
    });
  });
}

function isDuplex(stream: unknown): stream is Duplex {
  return typeof stream === 'object' && stream !== null && 'read' in stream && 'write' in stream;
}
