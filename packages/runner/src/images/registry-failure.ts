import { saysDiskFull } from '@slipway/core';
import { HostDiskFull } from '../host-disk.ts';
import { ImageUnavailableError } from './image-unavailable.ts';
import type { SkopeoFailed } from './skopeo.ts';

const refused = /unauthorized|authentication required|denied|forbidden|\b401\b|\b403\b/i;
const unreachable =
  /no such host|server misbehaving|connection refused|connection reset|i\/o timeout|unreachable|prohibited|EOF/i;

/** What skopeo's messages mean for the user. The first that fits counts. */
const explanations: readonly (readonly [RegExp, string])[] = [
  [
    /toomanyrequests|too many requests|\b429\b/i,
    'the registry answers "too many requests". Log in to it, or try again later.',
  ],
  [
    /did not match, expected|does not match provided manifest digest|invalid checksum|unexpected digest/i,
    'what the registry sent is not what its digest says. Something on the way, or the registry, damages it.',
  ],
  [
    refused,
    'the registry refuses access. Check the name, and the registry credentials in the deployment settings, or log the runner host in with `skopeo login`.',
  ],
  [
    /manifest unknown|name unknown|not found|\b404\b/i,
    'the registry does not have it. Check repository, tag and digest.',
  ],
  [
    /x509|certificate/i,
    "the registry's certificate is not trusted. Add its authority to the runner host's certificates.",
  ],
  [
    /file too large/i,
    'the registry sends more than the manifest says. Something on the way, or the registry, damages it.',
  ],
  [unreachable, 'the registry cannot be reached. Check its name, and network and proxy of the runner host.'],
  [/\b5\d\d\b/, 'the registry has a fault of its own. Try again later.'],
];

/** Failures that may pass by themselves: a connection that was cut, a registry that is just being restarted. */
const passing = /EOF|connection reset|i\/o timeout|broken pipe|\b50[0234]\b/i;

export function mayPass({ output }: SkopeoFailed): boolean {
  return passing.test(output);
}

export interface PullCircumstances {
  /** Whether it went out of a network that does not lead to private addresses. */
  readonly isClosed: boolean;
  /** Why the host could not log in where it might have, as a sentence; or empty. */
  readonly loginRemark: string;
}

/** What a failure of skopeo means, with the registry's own words behind it. */
export function explainFailure(
  reference: string,
  failure: SkopeoFailed,
  { isClosed, loginRemark }: PullCircumstances,
): ImageUnavailableError | HostDiskFull {
  if (saysDiskFull(failure.output)) {
    const what = `Executor image "${reference}" could not be fetched`;
    return new HostDiskFull(what, "the runner's cache", { cause: failure });
  }
  const [meaning, text = 'it could not be fetched.'] =
    explanations.find(([pattern]) => pattern.test(failure.output)) ?? [];
  const closed =
    isClosed && meaning === unreachable
      ? ' Registries at private addresses have to be named to the runner with --allow-private-registries.'
      : '';
  const login = meaning === refused ? loginRemark : '';
  const words = failure.output.split('\n').at(-1) ?? '';
  return new ImageUnavailableError(reference, `${text}${closed}${login} (${words.slice(0, 1000)})`, {
    cause: failure,
  });
}
