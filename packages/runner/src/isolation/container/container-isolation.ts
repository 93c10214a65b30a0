import { accessSync, constants, mkdirSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { type Isolation, SandboxStartError } from '../isolation.ts';
import { SandboxNames } from '../sandbox-names.ts';
import { ContainerSandbox } from './container-sandbox.ts';
import { type ContainerRuntime, crun } from './runtime.ts';

export interface ContainerIsolationOptions {
  /** crun where it is absent. */
  readonly runtime?: ContainerRuntime;
  /** Where volumes are made; on a file system with room for them. Made when it is not there. */
  readonly folder: string;
  /** Names what its sandboxes have on the host; by default those of the folder. */
  readonly names?: SandboxNames;
}

const programs = {
  crun: 'crun',
  mke2fs: 'e2fsprogs',
  mount: 'mount',
  nsenter: 'util-linux',
  setpriv: 'util-linux',
  unshare: 'util-linux',
} as const;

/**
 * Containers: same image, limits, gateway and channel as a virtual machine. Made by crun they are on the host's own kernel,
 * no boundary against code that attacks it, for development and tests; made by gVisor they have a kernel of their own, in
 * user space. Needs root.
 *
 * Throws `SandboxStartError` when the host cannot run it, with what is missing.
 */
export function createContainerIsolation({
  folder,
  runtime = crun,
  names: given,
}: ContainerIsolationOptions): Isolation {
  if (process.getuid?.() !== 0) {
    throw new SandboxStartError(
      `The ${runtime.kind} isolation needs root; start the runner as root, or use \`--isolation vm\`, which does not.`,
    );
  }
  for (const [program, debianPackage] of Object.entries(programs)) {
    if (!isOnPath(program)) {
      throw new SandboxStartError(
        `The program ${program} is missing; install the Debian package ${debianPackage}.`,
      );
    }
  }
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const names = given ?? new SandboxNames(folder);
  return { kind: runtime.kind, create: (spec) => ContainerSandbox.start(spec, { names, runtime }) };
}

function isOnPath(program: string): boolean {
  return (process.env.PATH ?? '').split(delimiter).some((directory) => {
    try {
      accessSync(join(directory, program), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}
