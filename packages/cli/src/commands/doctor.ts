import { cacheDirectory } from '@slipway/runner';
import { type Finding, formatFinding } from '../doctor/finding.ts';
import { capacity, writableFolder } from '../doctor/folder-checks.ts';
import {
  debianPackages,
  executorImage,
  furtherUserIds,
  isolation,
  tunDevice,
  userNamespaces,
} from '../doctor/host-checks.ts';
import type { JsonFlag } from '../options.ts';
import { printJson } from '../print-json.ts';
import type { SizeFlags } from '../sandbox-size.ts';
import { setUp } from '../setup/setup.ts';

export interface DoctorFlags extends SizeFlags, JsonFlag {
  dataDir: string;
  fix?: boolean;
  defaultImage: string;
}

/** `slipway doctor`: what this host offers and how to get what is missing. Status 1 when something is. */
export async function doctor(flags: DoctorFlags): Promise<void> {
  if (flags.fix) await setUp(process.env, { gvisor: flags.isolation === 'gvisor' });
  const findings = await examine(flags);
  if (flags.json) printJson(findings);
  else for (const finding of findings) console.log(formatFinding(finding));
  if (findings.some(({ state }) => state === 'missing')) process.exitCode = 1;
}

async function examine(flags: DoctorFlags): Promise<Finding[]> {
  const packages = await debianPackages();
  return [
    packages,
    await userNamespaces(),
    await tunDevice(),
    await furtherUserIds(),
    await writableFolder('Data', flags.dataDir, '--data-dir'),
    await writableFolder('Cache', cacheDirectory(process.env), 'SLIPWAY_CACHE_DIR'),
    await isolation(flags.isolation, packages),
    await executorImage(flags.defaultImage),
    ...(await capacity(flags, flags.dataDir)),
  ];
}
