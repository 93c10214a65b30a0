import { access, constants, mkdir, readFile } from 'node:fs/promises';
import { cacheDirectory, detectAcceleration, ensureGuest } from '@slipway/runner';
import { Command } from 'commander';
import { capacityWarnings, type SandboxDemand } from '../host-capacity.ts';
import { missingPackages, requiredPackages } from '../setup/debian-packages.ts';
import { dataDirectoryOption, sandboxOptions } from './options.ts';

/** One thing that Slipway needs of a host, as found. */
interface Finding {
  readonly check: string;
  readonly state: 'ok' | 'note' | 'missing';
  readonly message: string;
}

interface DoctorFlags extends SandboxDemand {
  dataDir: string;
  json?: boolean;
}

export function doctorCommand(): Command {
  const command = new Command('doctor')
    .description('check what this host offers, and say how to get what is missing')
    .option('--json', 'print the findings as JSON')
    .addOption(dataDirectoryOption());
  for (const option of sandboxOptions()) command.addOption(option);
  return command.action(async (flags: DoctorFlags) => {
    const findings = [
      await packages(),
      await device('/dev/net/tun', 'the network of a sandbox', 'modprobe tun'),
      await userNamespaces(),
      await acceleration(),
      ...(await capacity(flags)),
    ];
    if (flags.json) console.log(JSON.stringify(findings, undefined, 2));
    else
      for (const { check, state, message } of findings) console.log(`${signs[state]} ${check}: ${message}`);
    if (findings.some(({ state }) => state === 'missing')) process.exitCode = 1;
  });
}

const signs = { ok: '✔', note: '•', missing: '✘' } as const;

async function packages(): Promise<Finding> {
  const check = 'Debian packages';
  const missing = await missingPackages(Object.keys(requiredPackages));
  return missing.length === 0
    ? { check, state: 'ok', message: 'all present' }
    : { check, state: 'missing', message: `${missing.join(', ')} missing; run ./slipway setup` };
}

async function device(path: string, purpose: string, remedy: string): Promise<Finding> {
  return access(path, constants.R_OK | constants.W_OK).then(
    () => ({ check: path, state: 'ok', message: `usable (${purpose})` }),
    () => ({
      check: path,
      state: 'missing',
      message: `not usable, but needed for ${purpose}; try: ${remedy}`,
    }),
  );
}

async function userNamespaces(): Promise<Finding> {
  const check = 'User namespaces';
  const maximum = Number(await readFile('/proc/sys/user/max_user_namespaces', 'utf8').catch(() => '0'));
  return maximum > 0
    ? { check, state: 'ok', message: 'available' }
    : { check, state: 'missing', message: 'switched off; try: sysctl user.max_user_namespaces=10000' };
}

async function acceleration(): Promise<Finding> {
  const check = 'Virtual machines';
  try {
    const cache = { cacheDirectory: cacheDirectory(process.env), report: () => undefined };
    const { acceleration: found, sentence } = await detectAcceleration(
      await ensureGuest(cache),
      cache.cacheDirectory,
    );
    return { check, state: found.kind === 'kvm' ? 'ok' : 'note', message: sentence };
  } catch (error) {
    return { check, state: 'missing', message: error instanceof Error ? error.message : String(error) };
  }
}

async function capacity(flags: DoctorFlags): Promise<Finding[]> {
  await mkdir(flags.dataDir, { recursive: true, mode: 0o700 });
  const check = 'Capacity';
  const warnings = await capacityWarnings(flags, flags.dataDir);
  if (warnings.length === 0) return [{ check, state: 'ok', message: 'enough for the configured sandboxes' }];
  return warnings.map((message) => ({ check, state: 'note', message }));
}
