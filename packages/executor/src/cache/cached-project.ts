import type { Environment } from '../environment.ts';
import type { LockFile } from './lock-file.ts';
import type { ProjectRuntime } from './project-runtime.ts';

export interface CachedProject {
  readonly runtime: ProjectRuntime;
  readonly lockFile: LockFile;
  /** Text of the lock file. */
  readonly lockText: string;
  readonly projectDirectory: string;
}

/** Who installs, and what the tools are told. */
export interface Installer {
  /** Of the steps, and behind it what the tool's settings say (`withToolSettings`). */
  readonly environment: Environment;
  readonly isRoot: boolean;
}
