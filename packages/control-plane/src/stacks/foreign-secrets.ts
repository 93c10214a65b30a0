import { setImmediate as otherWork } from 'node:timers/promises';
import { badRequest } from '../http/errors.ts';
import { AuthenticationFailed, type Seal } from '../secrets/index.ts';

/** How Pulumi marks a secret in a state (Pulumi CLI sdk/go/common/resource/sig: Key, Secret). */
const signatureName = '4dabf18193072939515e22adb298388d';
const secretSignature = '1b47061264138c4ac30d75fd1eb44270';

/** So many ciphertexts are opened before other calls get their turn. */
const batchSize = 500;

/**
 * Throws 400 when a state (JSON text, which has been parsed before) holds a secret that `seal`, the stack's own, does not
 * open: no update of the stack could read it. Secrets of other providers than this service, and those in clear, are
 * nothing to it.
 */
export async function refuseForeignSecrets(stateText: string, seal: Seal): Promise<void> {
  if (!stateText.includes(secretSignature)) return;
  const state: unknown = JSON.parse(stateText);
  const deployment = memberOf(state, 'deployment');
  if (memberOf(memberOf(deployment, 'secrets_providers'), 'type') !== 'service') return;
  let opened = 0;
  for (const ciphertext of ciphertextsIn(deployment)) {
    if (!isOwn(ciphertext, seal)) throw foreignSecret();
    opened += 1;
    if (opened % batchSize === 0) await otherWork();
  }
}

function foreignSecret() {
  return badRequest(
    'Bad Request: this state holds secrets that were encrypted for another stack, and this stack could not read them: export it with `pulumi stack export --show-secrets`, and import that.',
  );
}

function isOwn(ciphertext: string, seal: Seal): boolean {
  try {
    seal.open(Buffer.from(ciphertext, 'base64'));
    return true;
  } catch (error) {
    if (error instanceof AuthenticationFailed) return false;
    throw error;
  }
}

/** Each ciphertext once. Not by recursion: a state may be nested as deeply as its sender likes. */
function ciphertextsIn(value: unknown): ReadonlySet<string> {
  const ciphertexts = new Set<string>();
  const rest: unknown[] = [value];
  while (rest.length > 0) {
    const next = rest.pop();
    if (typeof next !== 'object' || next === null) continue;
    const ciphertext = memberOf(next, 'ciphertext');
    if (typeof ciphertext === 'string' && memberOf(next, signatureName) === secretSignature)
      ciphertexts.add(ciphertext);
    for (const member of Object.values(next)) rest.push(member);
  }
  return ciphertexts;
}

function memberOf(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null && Object.hasOwn(value, name)
    ? Reflect.get(value, name)
    : undefined;
}
