import type { Environment } from '../environment.ts';
import type { LockFile } from './lock-file.ts';
import type { ProjectRuntime } from './project-runtime.ts';

export interface CachedProject {
  readonly runtime: ProjectRuntime;
  readonly lockFile: LockFile;
  /** Text of the lock file. */
  readonly lockText: string;
  readonly projectDirectory: string;
  /** Texts of Poetry's own settings, those that count first at the start; empty for other tools. */
  readonly poetrySettings: string;
}

/** Who installs, and what the tools are told. */
export interface Installer {
  /** Of the steps. */
  readonly environment: Environment;
  readonly isRoot: boolean;
}
