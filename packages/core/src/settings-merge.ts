import { type StoredSettings, storedSettings } from './deployment-settings.ts';
import { registryOf } from './image-registry.ts';

/** A JSON value; a member that is `undefined` counts as absent. */
export type Json = null | boolean | number | string | readonly Json[] | JsonObject;
export interface JsonObject {
  readonly [name: string]: Json | undefined;
}

/**
 * Applies a merge patch (RFC 7396): a member that is absent stays, `null` removes, an object is merged into an object,
 * anything else (arrays included) replaces. The result holds no `null` that the target did not hold.
 */
export function mergePatch(target: JsonObject, patch: JsonObject): JsonObject {
  const merged = new Map(Object.entries(target));
  for (const [name, value] of Object.entries(patch)) {
    if (value === undefined) continue;
    if (value === null) merged.delete(name);
    else if (isJsonObject(value)) {
      const present = merged.get(name);
      merged.set(name, mergePatch(isJsonObject(present) ? present : {}, value));
    } else merged.set(name, value);
  }
  return Object.fromEntries(merged);
}

/**
 * Stored settings with a patch applied, and its consequences: see `mirrorGitHub`, `keepOneLogin` and
 * `keepLoginAtItsRegistry`.
 */
export function mergeSettings(stored: StoredSettings, patch: StoredSettings): StoredSettings {
  const base = changesProvider(stored, patch) ? { ...stored, vcs: undefined, gitHub: undefined } : stored;
  return storedSettings.parse(
    mergePatch(base, mirrorGitHub(base, keepLoginAtItsRegistry(base, keepOneLogin(patch)))),
  );
}

/**
 * Of the ways to log in to a git host one counts: the first given of ssh key, token, user name and password (Pulumi CLI
 * apitype.SourceContextGit). Setting it removes the others, which a merge would otherwise keep.
 */
function keepOneLogin(patch: StoredSettings): StoredSettings {
  const git = patch.sourceContext?.git;
  const given = git?.gitAuth;
  const kept = (['sshAuth', 'accessToken', 'basicAuth'] as const).find((way) => given?.[way]);
  if (!given || !kept) return patch;
  const gitAuth = { sshAuth: null, accessToken: null, basicAuth: null, [kept]: given[kept] };
  return { ...patch, sourceContext: { ...patch.sourceContext, git: { ...git, gitAuth } } };
}

/** The login of an image is not kept for another registry: whoever named that one would be sent the password. */
function keepLoginAtItsRegistry(stored: StoredSettings, patch: StoredSettings): StoredSettings {
  const present = stored.executorContext?.executorImage;
  const given = patch.executorContext?.executorImage;
  if (!present || !given || given.credentials !== undefined) return patch;
  if (registryOf(given.reference) === registryOf(present.reference)) return patch;
  const executorImage = { ...given, credentials: null };
  return { ...patch, executorContext: { ...patch.executorContext, executorImage } };
}

/** Settings of another version control system are not merged into those of the former. */
function changesProvider(stored: StoredSettings, patch: StoredSettings): boolean {
  const provider = patch.vcs?.provider ?? (patch.gitHub ? 'github' : undefined);
  return provider !== undefined && stored.vcs != null && stored.vcs.provider !== provider;
}

/**
 * `gitHub` is the older of two places for the same settings, `vcs` with provider `github` the newer; the CLI knows the
 * older one only. What a patch says in one place it says in the other; where it says both, the newer one counts.
 */
function mirrorGitHub(stored: StoredSettings, patch: StoredSettings): StoredSettings {
  if (patch.vcs === undefined) {
    const removesNothing = patch.gitHub === null && stored.vcs?.provider !== 'github';
    if (patch.gitHub === undefined || removesNothing) return patch;
    return { ...patch, vcs: patch.gitHub && { ...patch.gitHub, provider: 'github' } };
  }
  if (patch.vcs?.provider !== 'github') return { ...patch, gitHub: null };
  const { provider: _, ...gitHub } = patch.vcs;
  return { ...patch, gitHub };
}

/**
 * The settings of one deployment: what the request says, over the stored settings when it inherits them. A commit, tag
 * or branch in the request takes the place of any of the three in the stored settings.
 */
export function settingsOfDeployment(
  stored: StoredSettings,
  request: StoredSettings,
  inherits: boolean,
): StoredSettings {
  if (!inherits) return mergeSettings({}, request);
  const git = request.sourceContext?.git;
  if (!git?.branch && !git?.commit && !git?.tag) return mergeSettings(stored, request);
  const revision = { branch: git.branch ?? null, commit: git.commit ?? null, tag: git.tag ?? null };
  return mergeSettings(stored, {
    ...request,
    sourceContext: { ...request.sourceContext, git: { ...git, ...revision } },
  });
}

/**
 * A request without what says nothing: empty strings, empty arrays, and objects that are or become empty. `null` stays.
 * The `pulumi` CLI sends such for each setting that its user did not give
 * (`deployment run`: `"preRunCommands":[]`, `"branch":""`), and they must not wipe what is inherited. An environment
 * variable, though, may be meant to be empty.
 */
export function withoutEmpty(value: JsonObject): JsonObject {
  const entries = Object.entries(value).flatMap(([name, member]): [string, Json | undefined][] => {
    if (member === '' || (Array.isArray(member) && member.length === 0)) return [];
    if (!isJsonObject(member) || name === 'environmentVariables') return [[name, member]];
    const rest = withoutEmpty(member);
    return Object.keys(rest).length === 0 ? [] : [[name, rest]];
  });
  return Object.fromEntries(entries);
}

export function isJsonObject(value: Json | undefined): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
