import { ImageUnavailableError } from './image-unavailable.ts';
import type { SkopeoFailed } from './skopeo.ts';

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
    /unauthorized|authentication required|denied|forbidden|\b401\b|\b403\b/i,
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
  [/no space left/i, "the runner's disk is full. Free some space in its cache directory."],
  [
    /no such host|server misbehaving|connection refused|connection reset|i\/o timeout|unreachable|prohibited|EOF/i,
    'the registry cannot be reached. Check its name, and network and proxy of the runner host.',
  ],
  [/\b5\d\d\b/, 'the registry has a fault of its own. Try again later.'],
];

/** Failures that may pass by themselves: a connection that was cut, a registry that is just being restarted. */
const passing = /EOF|connection reset|i\/o timeout|broken pipe|\b50[0234]\b/i;

export function mayPass({ output }: SkopeoFailed): boolean {
  return passing.test(output);
}

/** What a failure of skopeo means, with the registry's own words behind it. `closed`: whether pulls have a network of their own. */
export function explainFailure(
  reference: string,
  failure: SkopeoFailed,
  closed: boolean,
): ImageUnavailableError {
  const [meaning, text = 'it could not be fetched.'] =
    explanations.find(([pattern]) => pattern.test(failure.output)) ?? [];
  const unreachable = meaning?.source.includes('no such host') ?? false;
  const hint =
    closed && unreachable
      ? ' Registries at private addresses have to be named to the runner with --allow-private-registries.'
      : '';
  const words = failure.output.split('\n').at(-1) ?? '';
  return new ImageUnavailableError(reference, `${text}${hint} (${words.slice(0, 1000)})`, { cause: failure });
}
