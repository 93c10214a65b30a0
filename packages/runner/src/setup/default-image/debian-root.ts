import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { contentKey } from '../content-key.ts';
import { makeOnce } from '../make-once.ts';
import { runCommand } from '../run-command.ts';
import type { SetUpOptions } from '../set-up-options.ts';
import { PackageProgress } from './package-progress.ts';

/** The release inside the image on hosts that are not Debian themselves. */
const usualRelease = 'bookworm';
const packages = ['ca-certificates', 'curl', 'git', 'openssh-client'];
/** Nobody reads them inside a run. dpkg keeps to it when a run installs further packages. */
const leftOut = ['doc', 'doc-base', 'man', 'info', 'locale', 'lintian'];
/** The configuration that mmdebstrap leaves behind in the image; it would carry the host's proxy into runs. */
const leftoverConfiguration = 'etc/apt/apt.conf.d/99mmdebstrap';

/**
 * A minimal Debian root with git, curl and an ssh client, as a tar archive. Packages come from where this host's own
 * apt gets Debian, checked with this host's keys. Answers the archive's path.
 */
export async function ensureDebianRoot(options: SetUpOptions): Promise<string> {
  const release = await hostRelease();
  const key = contentKey(['debian root 1', release, ...packages, ...leftOut]);
  const path = join(options.cacheDirectory, 'default-image', `debian-${key}.tar`);
  await makeOnce(path, async (partialPath) => {
    options.report(`making a Debian ${release} root (about a minute) …`);
    await archiveDebian(partialPath, 'minbase', packages, options);
  });
  return path;
}

/**
 * Makes a tar archive of packages of the image's release, with all that they need: as a root (`minbase`), or only
 * unpacked, for a root that has them already (`extract`).
 */
export async function archiveDebian(
  path: string,
  variant: 'minbase' | 'extract',
  included: readonly string[],
  { report, progress }: Pick<SetUpOptions, 'report' | 'progress'>,
): Promise<void> {
  const release = await hostRelease();
  const work = await mkdtemp(join(tmpdir(), 'slipway-debian-'));
  try {
    const aptConfiguration = join(work, 'apt.conf');
    await writeFile(aptConfiguration, `Acquire::Languages "none";\n${await hostAptNetwork()}`);
    const packagesSoFar = new PackageProgress();
    await runCommand(
      [
        ...['nice', '-n', '5', 'mmdebstrap', '--verbose', `--variant=${variant}`, '--format=tar'],
        `--include=${included.join(',')}`,
        `--aptopt=${aptConfiguration}`,
        ...leftOut.map((name) => `--dpkgopt=path-exclude=/usr/share/${name}/*`),
        `--customize-hook=rm -f "$1/${leftoverConfiguration}"`,
        ...[release, path, ...(await hostSources(release))],
      ],
      {
        // Lines of apt and dpkg are counted, in English; those of mmdebstrap itself name what it begins.
        environment: { ...process.env, LC_ALL: 'C.UTF-8' },
        report: (line) => {
          const far = packagesSoFar.read(line);
          if (far) progress?.(far);
          if (line.startsWith('I: ')) report(line);
        },
      },
    );
  } finally {
    await rm(work, { recursive: true });
  }
}

/** Debian's release on this host, by its code name; the usual one on other hosts. */
async function hostRelease(): Promise<string> {
  const text = await readFile('/etc/os-release', 'utf8').catch(() => '');
  const isDebian = /^ID="?debian"?$/m.test(text);
  return (isDebian && text.match(/^VERSION_CODENAME="?(\w+)"?$/m)?.[1]) || usualRelease;
}

/**
 * The lines of sources.list by which this host gets the release, its updates and its security updates; none where it
 * gets another distribution, and mmdebstrap takes Debian's own. Other vendors' packages do not belong into the image.
 */
async function hostSources(release: string): Promise<string[]> {
  const format = 'deb $(REPO_URI) $(RELEASE) $(COMPONENT)';
  const text = await runCommand(['apt-get', 'indextargets', '--format', format, 'Created-By: Packages']);
  const suites = [release, `${release}-updates`, `${release}-security`];
  const lines = new Set(text.split('\n').filter((line) => suites.includes(line.split(' ')[2] ?? '')));
  return [...lines].some((line) => line.split(' ')[2] === release) ? [...lines].sort() : [];
}

/** The host's proxy and certificate authorities for apt, as lines of its configuration. */
async function hostAptNetwork(): Promise<string> {
  const text = await runCommand(['apt-config', 'dump', '--format', '%F "%v";%n', 'Acquire']);
  return text
    .split('\n')
    .filter(
      (line) => /^Acquire::https?::(\S+::)?(Proxy|CaInfo|CaPath)\b/i.test(line) && !line.endsWith('"";'),
    )
    .map((line) => `${line}\n`)
    .join('');
}
