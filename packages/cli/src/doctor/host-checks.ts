import { userInfo } from 'node:os';
import type { IsolationKind } from '@slipway/core';
import {
  cacheDirectory,
  createImageStore,
  detectAcceleration,
  ensureGuest,
  findGvisor,
  type HostObstacle,
  subordinateIds,
  tunObstacle,
  userNamespaceObstacle,
} from '@slipway/runner';
import { installCommand, missingPackages, requiredPackages } from '../setup/debian-packages.ts';
import type { Finding } from './finding.ts';

const setUpFix = './slipway setup';

export async function debianPackages(): Promise<Finding> {
  const check = 'Debian packages';
  try {
    const missing = await missingPackages(Object.keys(requiredPackages));
    if (missing.length === 0) return { check, state: 'ok', message: 'all present' };
    const message = `missing: ${missing.join(', ')}`;
    return { check, state: 'missing', message, fix: installCommand(missing).join(' ') };
  } catch (error) {
    return { check, state: 'note', message: reasonOf(error) };
  }
}

export async function userNamespaces(): Promise<Finding> {
  return found('User namespaces', 'this user may make them', await userNamespaceObstacle());
}

export async function tunDevice(): Promise<Finding> {
  return found('/dev/net/tun', 'usable, for the network of a sandbox', await tunObstacle());
}

function found(check: string, whenUsable: string, obstacle: HostObstacle | undefined): Finding {
  return obstacle === undefined
    ? { check, state: 'ok', message: whenUsable }
    : { check, state: 'missing', message: obstacle.what, fix: obstacle.remedy };
}

/** Whether runs can execute in the isolation that is configured: virtual machines are really started. */
export async function isolation(kind: IsolationKind, packages: Finding): Promise<Finding> {
  switch (kind) {
    case 'vm':
      return virtualMachines(packages);
    case 'gvisor':
      return gvisorContainers();
    case 'container':
      return containers();
  }
}

async function virtualMachines(packages: Finding): Promise<Finding> {
  const check = 'Virtual machines';
  if (packages.state === 'missing') {
    return { check, state: 'missing', message: 'not tried: Debian packages are missing', fix: setUpFix };
  }
  try {
    const cache = { cacheDirectory: cacheDirectory(process.env), report: () => undefined };
    const { acceleration, sentence } = await detectAcceleration(
      await ensureGuest(cache),
      cache.cacheDirectory,
    );
    return { check, state: acceleration.kind === 'kvm' ? 'ok' : 'note', message: sentence };
  } catch (error) {
    return { check, state: 'missing', message: reasonOf(error), fix: setUpFix };
  }
}

async function gvisorContainers(): Promise<Finding> {
  const check = 'Containers on gVisor';
  const needsRoot = containers();
  if (needsRoot.state === 'missing') return { ...needsRoot, check };
  const runsc = await findGvisor(cacheDirectory(process.env));
  return runsc === undefined
    ? {
        check,
        state: 'missing',
        message: 'gVisor is not installed',
        fix: './slipway doctor --isolation gvisor --fix',
      }
    : { check, state: 'ok', message: `${runsc}; runs have a kernel of their own in user space` };
}

function containers(): Finding {
  const check = 'Containers';
  return process.getuid?.() === 0
    ? { check, state: 'note', message: 'runs share the kernel of this host: for development and tests' }
    : { check, state: 'missing', message: 'they need root', fix: 'start as root, or use --isolation vm' };
}

/** Whether the default executor image is there. `auto` may mean one in a registry; a local one must have been built. */
export async function executorImage(reference: string): Promise<Finding> {
  const check = 'Executor image';
  const isLocal = reference.startsWith('localhost/');
  const wanted = isLocal ? reference : 'localhost/slipway/executor:latest';
  const images = createImageStore({ cacheDirectory: cacheDirectory(process.env) });
  try {
    await images.resolve(wanted);
    return { check, state: 'ok', message: `${wanted} is built` };
  } catch {
    const fix = './slipway image build';
    if (isLocal) return { check, state: 'missing', message: `${reference} is not built`, fix };
    return {
      check,
      state: 'note',
      message: `${wanted} is not built; runs need a registry that answers`,
      fix,
    };
  } finally {
    await images.close();
  }
}

/** User ids that belong to this user alone: for files of several users in one image, and for QEMU. */
export async function furtherUserIds(): Promise<Finding> {
  const check = 'Subordinate ids';
  const { uid, username } = userInfo();
  if (uid === 0) return { check, state: 'ok', message: 'not needed: this is root' };
  if ((await subordinateIds()).count > 0) {
    return { check, state: 'ok', message: 'this user has some, for QEMU and for building the default image' };
  }
  return {
    check,
    state: 'note',
    message: `this user has none: QEMU runs under ${username}'s own id, and the default executor image cannot be built`,
    fix: `sudo usermod --add-subuids 100000-165535 --add-subgids 100000-165535 ${username}`,
  };
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
