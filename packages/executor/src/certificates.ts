import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

/** Certificate authorities as PEM files. */
export interface CertificateFiles {
  /** Those of the image and the extra ones. */
  readonly bundle: string;
  /** The extra ones alone. */
  readonly extra: string;
}

/** What of the image's environment says where its certificates are. */
interface ImageEnvironment {
  readonly SSL_CERT_FILE?: string;
}

/** Where distributions keep their bundle: Debian and Alpine, Red Hat, SUSE. */
const systemBundles = [
  '/etc/ssl/certs/ca-certificates.crt',
  '/etc/pki/tls/certs/ca-bundle.crt',
  '/etc/ssl/ca-bundle.pem',
  '/etc/ssl/cert.pem',
];

/**
 * Writes the image's own bundle, and behind it `extraCertificates` (PEM), into `directory`. The image's bundle is
 * what its `SSL_CERT_FILE` names or its distribution's; where there is none, Node's own list stands in.
 */
export async function writeCertificateFiles(
  directory: string,
  extraCertificates: string,
  imageEnvironment: ImageEnvironment,
): Promise<CertificateFiles> {
  const files = {
    bundle: join(directory, 'ca-certificates.crt'),
    extra: join(directory, 'extra-certificates.crt'),
  };
  await mkdir(directory, { recursive: true });
  await writeFile(files.extra, extraCertificates);
  await writeFile(files.bundle, `${await systemCertificates(imageEnvironment)}\n${extraCertificates}`);
  return files;
}

async function systemCertificates(imageEnvironment: ImageEnvironment): Promise<string> {
  for (const path of [imageEnvironment.SSL_CERT_FILE, ...systemBundles]) {
    if (path === undefined) continue;
    try {
      return await readFile(path, 'utf8');
    } catch {
      // Not this distribution's place: the next one.
    }
  }
  // Imported only here: loading it would cost every run its start-up time.
  const { rootCertificates } = await import('node:tls');
  return rootCertificates.join('\n');
}
