import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { promisify } from 'node:util';
import { runCommand } from '@slipway/runner';

const run = promisify(execFile);

/** What the host needs, and why. */
export const requiredPackages = {
  'qemu-system-x86': 'virtual machines',
  'busybox-static': 'the guest',
  crun: 'containers, in the guest and on the host',
  skopeo: 'pulling images',
  umoci: 'the default executor image',
  'erofs-utils': 'read-only devices from images',
  e2fsprogs: 'volumes',
  mmdebstrap: 'the default executor image',
  uidmap: 'the default executor image, where it is not built as root',
  passt: 'the network of a sandbox',
  nftables: 'the network of a sandbox',
  'dnsmasq-base': 'the network of a sandbox',
  iproute2: 'the network of a sandbox',
  cpio: 'the initramfs of the guest',
  gcc: "the guest's init",
  'libc6-dev': "the guest's init",
  binutils: 'the guest kernel',
  'xz-utils': 'the guest kernel',
  zstd: 'the guest kernel',
  lz4: 'the guest kernel',
  git: 'the default executor image',
  'ca-certificates': 'TLS',
} as const;

/** What the tests need beyond that. */
export const testPackages = {
  'docker-registry': 'a registry for the tests of images',
  attr: 'extended attributes in the tests of images',
  'musl-tools': 'an image without glibc in the tests of images',
  'python3-venv': 'pip in the tests of the dependency cache',
  'openssh-server': 'an ssh server for the tests of Get source',
  'openssh-client': 'keys for the tests of Get source',
  'bind9-dnsutils': 'questions to the resolver in the tests of the network',
  systemd: 'a check of the units in packaging/systemd',
} as const;

/** Installs the Debian packages that are missing. Answers what it did, or throws with the command to run. */
export async function ensureDebianPackages(
  report: (line: string) => void,
  forTests: boolean,
): Promise<string> {
  const wanted = [
    ...Object.keys(requiredPackages),
    ...(forTests ? Object.keys(testPackages) : []),
    ...(await goFetcher()),
  ];
  const missing = await missingPackages(wanted);
  if (missing.length === 0) return 'all present';
  const prefix = await privilegePrefix();
  if (prefix === undefined) {
    throw new Error(
      `Debian packages are missing; install them, then start again: ${installCommand(missing).join(' ')}`,
    );
  }
  const environment = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  await runCommand([...prefix, 'apt-get', 'update', '--quiet'], { report, environment });
  await runCommand([...prefix, ...installArguments(missing)], { report, environment });
  return `installed ${missing.join(', ')}`;
}

/** The command that installs packages, for a user who may become root. */
export function installCommand(packages: readonly string[]): string[] {
  return ['sudo', ...installArguments(packages)];
}

function installArguments(packages: readonly string[]): string[] {
  return ['apt-get', 'install', '--yes', '--no-install-recommends', ...packages];
}

/** Where the pulumi CLI has to be built and there is no Go to build it with, pip brings one. */
async function goFetcher(): Promise<string[]> {
  const starts = (program: string) =>
    run(program, ['version']).then(
      () => true,
      () => false,
    );
  return (await starts('pulumi')) || (await starts('go')) ? [] : ['python3-pip'];
}

/** Which of the Debian packages are not installed. Throws on a host that is not Debian. */
export async function missingPackages(names: readonly string[]): Promise<string[]> {
  if (!(await isDebian())) {
    throw new Error(
      `Set-up knows Debian and its derivatives only. Install by hand what these Debian packages contain: ${names.join(' ')}, then set SLIPWAY_SKIP_PACKAGES=1.`,
    );
  }
  // dpkg-query fails when one of the names is unknown, and still prints the others.
  const { stdout } = await run('dpkg-query', [
    '-W',
    '-f',
    // biome-ignore lint/suspicious/noTemplateCurlyInString: dpkg's own placeholders
    '${Package} ${db:Status-Status}\n',
    ...names,
  ]).catch((error: { stdout?: string }) => ({ stdout: error.stdout ?? '' }));
  const installed = new Set(
    stdout
      .split('\n')
      .filter((line) => line.endsWith(' installed'))
      .map((line) => line.split(' ')[0]),
  );
  return names.filter((name) => !installed.has(name));
}

async function isDebian(): Promise<boolean> {
  const release = await readFile('/etc/os-release', 'utf8').catch(() => '');
  return /^ID(_LIKE)?=.*debian/m.test(release);
}

/** What stands before a command so that it runs as root; undefined when that needs a password. */
async function privilegePrefix(): Promise<string[] | undefined> {
  if (process.getuid?.() === 0) return [];
  return run('sudo', ['-n', 'true']).then(
    () => ['sudo', '-n'],
    () => undefined,
  );
}
