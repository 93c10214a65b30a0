import { z } from 'zod';
import { allUrls, type ControlPlaneUrls } from '../control-plane.ts';
import { badRequest } from '../http/errors.ts';
import { findValue } from './raw-json.ts';

/** A stack's state as the CLI sends it in checkpoints and imports: `apitype.UntypedDeployment`. */
const stateEnvelope = z.object({
  version: z.number().int().min(1).max(4).default(3),
  features: z.array(z.string()).optional(),
  deployment: z
    .object({
      resources: z.array(z.unknown()).nullish(),
      secrets_providers: z
        .object({ type: z.string(), state: z.object({ url: z.string() }).partial().optional() })
        .nullish(),
    })
    .nullish(),
});

/** As a checkpoint is kept: the deployment to the letter, without the URL of its secrets provider. */
export interface StoredDocument {
  readonly schema_version: number;
  readonly features: string | null;
  readonly document: string;
  /** Where in `document` the URL (a JSON string) belongs; null when it is not this server's, or absent. */
  readonly url_offset: number | null;
  readonly resource_count: number;
}

/** The deployment of a stack that has never been updated. */
const emptyDeployment = '{"manifest":{"time":"0001-01-01T00:00:00Z","magic":"","version":""}}';

/** Takes a checkpoint or import body apart. Throws 400 when it is no state. */
export function splitState(bodyText: string, ownUrls: readonly string[]): StoredDocument {
  const { version, features, deployment } = parseState(bodyText);
  const span = deployment ? findValue(bodyText, ['deployment']) : undefined;
  const document = span ? bodyText.slice(span.start, span.end) : emptyDeployment;
  const provider = deployment?.secrets_providers;
  const url = provider?.type === 'service' ? provider.state?.url : undefined;
  const place =
    url !== undefined && ownUrls.includes(withoutSlash(url))
      ? findValue(document, ['secrets_providers', 'state', 'url'])
      : undefined;
  return {
    schema_version: version,
    features: features ? JSON.stringify(features) : null,
    document: place ? document.slice(0, place.start) + document.slice(place.end) : document,
    url_offset: place?.start ?? null,
    resource_count: deployment?.resources?.length ?? 0,
  };
}

function parseState(bodyText: string): z.infer<typeof stateEnvelope> {
  let value: unknown;
  try {
    value = JSON.parse(bodyText);
  } catch {
    throw badRequest('Bad Request: the state is not JSON.');
  }
  const parsed = stateEnvelope.safeParse(value);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw badRequest(`Bad Request: the state is wrong at "${issue?.path.join('.')}": ${issue?.message}`);
}

/** The text with `newUrl` in the place of the URL at `path`, when that is one of `ownUrls`. */
export function withOwnUrl(
  text: string,
  path: readonly string[] | undefined,
  ownUrls: readonly string[],
  newUrl: string,
): string {
  const place = path && findValue(text, path);
  if (!place) return text;
  const url: unknown = JSON.parse(text.slice(place.start, place.end));
  if (typeof url !== 'string' || !ownUrls.includes(withoutSlash(url))) return text;
  return text.slice(0, place.start) + JSON.stringify(newUrl) + text.slice(place.end);
}

/** The JSON text of an export, with the URL that its reader knows this server by. */
export function joinState(stored: StoredDocument | undefined, readerUrl: string): string {
  if (!stored) return `{"version":3,"deployment":${emptyDeployment}}`;
  const { document, url_offset, schema_version, features } = stored;
  const deployment =
    url_offset === null
      ? document
      : document.slice(0, url_offset) + JSON.stringify(readerUrl) + document.slice(url_offset);
  return `{"version":${schema_version},${features ? `"features":${features},` : ''}"deployment":${deployment}}`;
}

function withoutSlash(url: string): string {
  return url.replace(/\/+$/, '');
}

/**
 * The URL under which the caller knows this server: the configured one whose host it named. A Host header that is not
 * on the list counts for nothing.
 */
export function urlOfReader(hostHeader: string | undefined, urls: ControlPlaneUrls): string {
  return allUrls(urls).find((url) => new URL(url).host === hostHeader) ?? urls.publicUrl;
}
