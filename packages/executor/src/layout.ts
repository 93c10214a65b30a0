import { join, resolve } from 'node:path';
import type { Job } from '@slipway/core';

/** Where the executor keeps what. All of it lies below the executor's root path (`/` unless the settings move it). */
export interface Layout {
  /** Root of the checked-out repository. */
  readonly deploymentDirectory: string;
  /** Folder of the Pulumi project, in the repository. Commands run here. */
  readonly projectDirectory: string;
  /** Variables for later steps: `NAME=value` lines that a step appended. */
  readonly environmentFile: string;
  /** Whether `environmentFile` is not at its usual place, so that commands must be told. */
  readonly environmentFileMoved: boolean;
  /** The executor's own files, such as the certificate bundle. */
  readonly executorDirectory: string;
}

/** The places for `job`. */
export function layoutOf(job: Job): Layout {
  const root = resolve(job.executorRootPath);
  const deploymentDirectory = join(root, 'deployment');
  return {
    deploymentDirectory,
    // `/infra` and `infra` both mean the folder at the top of the repository.
    projectDirectory: join(deploymentDirectory, job.source.repoDir ?? ''),
    environmentFile: join(root, 'PULUMI_ENV'),
    environmentFileMoved: root !== '/',
    executorDirectory: join(root, '.slipway'),
  };
}
