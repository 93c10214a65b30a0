import { createPrivateKey, X509Certificate } from 'node:crypto';
import { access, constants, mkdir, readFile } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';

/** The certificates (PEM) in a file that an option names. Throws an `Error` that names both. */
export async function readCertificates(option: string, path: string): Promise<string> {
  const text = await readNamedFile(option, path);
  try {
    new X509Certificate(text);
    return text;
  } catch (error) {
    throw new Error(`The file of ${option}, ${path}, does not begin with a certificate (PEM).`, {
      cause: error,
    });
  }
}

/** A certificate and its private key (PEM). Throws an `Error` that names the file where one is not what it should be. */
export async function readKeyPair(
  certificatePath: string,
  keyPath: string,
): Promise<{ certificate: string; key: string }> {
  const certificate = await readCertificates('--tls-cert', certificatePath);
  const key = await readNamedFile('--tls-key', keyPath);
  let belongsTogether: boolean;
  try {
    belongsTogether = new X509Certificate(certificate).checkPrivateKey(createPrivateKey(key));
  } catch (error) {
    throw new Error(`The file of --tls-key, ${keyPath}, holds no private key (PEM) without a password.`, {
      cause: error,
    });
  }
  if (!belongsTogether)
    throw new Error(`The key in ${keyPath} does not belong to the certificate in ${certificatePath}.`);
  return { certificate, key };
}

async function readNamedFile(option: string, path: string): Promise<string> {
  return readFile(path, 'utf8').catch((error: unknown) => {
    throw new Error(`The file of ${option} cannot be read: ${reasonOf(error)}`, { cause: error });
  });
}

/** Makes the data directory unless it is there. Throws an `Error` for the user where it cannot be used. */
export async function ensureDataDirectory(path: string): Promise<void> {
  try {
    await makeFolders(resolve(path));
    await access(path, constants.R_OK | constants.W_OK | constants.X_OK);
  } catch (error) {
    throw new Error(
      `The data directory ${path} cannot be used: ${reasonOf(error)}. Give it to this user, or choose another one with --data-dir.`,
      { cause: error },
    );
  }
}

/**
 * Makes a folder and those that it is in, as far as they are missing. Not by `mkdir` with `recursive`: Node.js tries for
 * ever where a file system answers that there is no such folder to make, as /proc does (libuv retries with the parent,
 * which is there).
 */
async function makeFolders(path: string): Promise<void> {
  if (await isThere(path)) return;
  await makeFolders(dirname(path));
  await mkdir(path, { mode: 0o700 }).catch(async (error: unknown) => {
    // Somebody else may have made it this moment.
    if (!(await isThere(path))) throw error;
  });
}

async function isThere(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
