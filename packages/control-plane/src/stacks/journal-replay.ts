import { createHash } from 'node:crypto';
import { entryKind, journalEntry } from './journal-entry.ts';
import { elementsOf, membersOf, objectOf } from './raw-json.ts';
import { RawResource } from './raw-resource.ts';
import { dropDanglingReferences, resolveAliases } from './resource-urns.ts';

/** Who replays: the manifest of the state names the CLI, and the time. */
export interface Replayer {
  readonly cliVersion: string;
  readonly now: Date;
}

/** Features of a resource that an older CLI would not understand, by the member that shows them. */
const features = {
  refreshBeforeUpdate: 'refreshBeforeUpdate',
  viewOf: 'views',
  resourceHooks: 'hooks',
  taint: 'taint',
  replaceWith: 'replaceWith',
  extensionRef: 'extensionParameterization',
  snippetID: 'snippets-prototype',
};

/** Schema of a state without features that need a newer one, and of one with them. */
const plainSchema = 3;
const featuresSchema = 4;

/**
 * The state that an update has reached: the state before it and the journal entries of it so far, in the order of
 * their sequence ids. Answers the text of an `apitype.UntypedDeployment`.
 * Source: Pulumi CLI pkg/backend/journal.go, JournalReplayer.
 */
export function replayJournal(baseState: string, entryTexts: readonly string[], replayer: Replayer): string {
  const state = membersOf(baseState);
  const replay = new JournalReplay(
    state.get('deployment') ?? '{}',
    elementsOf(state.get('features') ?? '[]'),
    replayer,
  );
  for (const entryText of entryTexts) replay.add(entryText);
  return replay.state();
}

class JournalReplay {
  readonly #replayer: Replayer;
  #hasRefresh = false;
  #hasByteStrings: boolean;
  #base: Map<string, string>;
  #baseResources: RawResource[];
  /** What happened since the base was (re)built. */
  #steps = new Steps();

  constructor(baseDeployment: string, baseFeatures: readonly string[], replayer: Replayer) {
    this.#replayer = replayer;
    // Secrets hide what they are made of, so that such a state is known by its feature alone.
    this.#hasByteStrings = baseFeatures.includes('"byteString"');
    this.#base = membersOf(baseDeployment);
    this.#baseResources = resourcesOf(this.#base);
  }

  add(text: string): void {
    const entry = journalEntry.parse(JSON.parse(text));
    const documents = membersOf(text);
    const steps = this.#steps;
    this.#hasByteStrings ||= entry.requiresByteString === true;
    const stateJson = documents.get('state');
    const state = stateJson === undefined || stateJson === 'null' ? undefined : RawResource.parse(stateJson);
    switch (entry.kind) {
      case entryKind.begin:
        steps.pending.set(entry.operationID, documents.get('operation') ?? 'null');
        break;
      case entryKind.failure:
        steps.pending.delete(entry.operationID);
        break;
      case entryKind.success:
        steps.pending.delete(entry.operationID);
        if (state) steps.created.set(entry.operationID, state);
        if (entry.removeOld != null) steps.removedOld.add(entry.removeOld);
        if (entry.removeNew != null) steps.removedNew.add(entry.removeNew);
        if (entry.deleteOld != null) steps.deletedOld.add(entry.deleteOld);
        if (entry.deleteNew != null) steps.created.get(entry.deleteNew)?.set('delete', true);
        if (entry.pendingReplacementOld != null) steps.pendingReplacementOld.add(entry.pendingReplacementOld);
        if (entry.pendingReplacementNew != null) {
          steps.created.get(entry.pendingReplacementNew)?.set('pendingReplacement', true);
        }
        this.#hasRefresh ||= entry.isRefresh === true;
        break;
      case entryKind.refreshSuccess:
        steps.pending.delete(entry.operationID);
        this.#hasRefresh = true;
        if (entry.removeOld != null && !state) steps.removedOld.add(entry.removeOld);
        if (entry.removeNew != null && !state) steps.removedNew.add(entry.removeNew);
        steps.replace(entry, state);
        break;
      case entryKind.outputs:
        steps.replace(entry, state);
        break;
      case entryKind.write:
        this.#rebase(documents.get('newSnapshot') ?? '{}');
        break;
      case entryKind.secretsManager:
        this.#base.set('secrets_providers', documents.get('secretsProvider') ?? 'null');
        break;
      case entryKind.rebuiltBaseState:
        this.#rebase(this.#deployment(this.#resources()));
        this.#steps = new Steps();
        break;
      case entryKind.extensionParameterize:
        steps.extensions.set(entry.extensionRef ?? '', documents.get('extension') ?? 'null');
        break;
      case entryKind.snippets:
        this.#base.set('snippets', documents.get('snippets') ?? '[]');
        break;
    }
  }

  state(): string {
    const resources = this.#resources();
    const found = this.#featuresOf(resources);
    const deployment = this.#deployment(resources);
    const named = found.length > 0 ? `"features":${JSON.stringify(found)},` : '';
    return `{"version":${found.length > 0 ? featuresSchema : plainSchema},${named}"deployment":${deployment}}`;
  }

  #rebase(deployment: string): void {
    this.#base = membersOf(deployment);
    this.#baseResources = resourcesOf(this.#base);
  }

  /** New resources come first, then those of the base that are left: each stands behind what it depends on. */
  #resources(): RawResource[] {
    const steps = this.#steps;
    const resources = Array.from(steps.created)
      .filter(([operation]) => !steps.removedNew.has(operation))
      .map(([, resource]) => resource.copy());
    for (const [index, resource] of this.#baseResources.entries()) {
      if (steps.removedOld.has(index)) continue;
      const left = (steps.replacedOld.get(index) ?? resource).copy();
      if (!steps.replacedOld.has(index)) {
        if (steps.pendingReplacementOld.has(index)) left.set('pendingReplacement', true);
        if (steps.deletedOld.has(index)) left.set('delete', true);
      }
      resources.push(left);
    }
    return resources;
  }

  /** Operations that have not ended, and creations that an earlier update left open: those are the user's to resolve. */
  #pendingOperations(): string[] {
    const begun = [...this.#steps.pending.values()].filter((operation) => operation !== 'null');
    const left = elementsOf(this.#base.get('pending_operations') ?? '[]');
    return [...begun, ...left.filter((operation) => membersOf(operation).get('type') === '"creating"')];
  }

  #deployment(resources: readonly RawResource[]): string {
    if (this.#hasRefresh) dropDanglingReferences(resources);
    resolveAliases(resources);
    const { cliVersion, now } = this.#replayer;
    const magic = cliVersion === '' ? '' : createHash('sha256').update(cliVersion).digest('hex');
    const manifest = JSON.stringify({ time: now.toISOString(), magic, version: cliVersion });
    const extensions = new Map([
      ...this.#steps.extensions,
      ...membersOf(this.#base.get('extensions') ?? '{}'),
    ]);
    const members = new Map([...this.#base, ['manifest', manifest]]);
    setList(
      members,
      'resources',
      resources.map((resource) => resource.json()),
    );
    setList(members, 'pending_operations', this.#pendingOperations());
    if (extensions.size > 0) members.set('extensions', objectOf(extensions));
    return objectOf(members);
  }

  /** Of the resources as they were recorded: before references are dropped. */
  #featuresOf(resources: readonly RawResource[]): string[] {
    const pending = this.#pendingOperations().map((operation) =>
      RawResource.parse(membersOf(operation).get('resource') ?? '{}'),
    );
    const recorded = [...resources, ...pending];
    const found = Object.entries(features)
      .filter(([member]) => recorded.some((resource) => resource.isSet(member)))
      .map(([, feature]) => feature);
    if (this.#hasByteStrings && recorded.length > 0) found.push('byteString');
    if (elementsOf(this.#base.get('snippets') ?? '[]').length > 0) found.push(features.snippetID);
    return [...new Set(found)].sort();
  }
}

/** What the entries since the last base have done to it. Numbers are indexes of its resources, or operations. */
class Steps {
  /** Operations that have begun and not ended, as texts. */
  readonly pending = new Map<number, string>();
  readonly created = new Map<number, RawResource>();
  readonly removedNew = new Set<number>();
  readonly removedOld = new Set<number>();
  readonly replacedOld = new Map<number, RawResource>();
  readonly deletedOld = new Set<number>();
  readonly pendingReplacementOld = new Set<number>();
  readonly extensions = new Map<string, string>();

  /** Puts `state` in the place of the resources that an entry names; nothing without one. */
  replace(
    entry: { removeOld?: number | null | undefined; removeNew?: number | null | undefined },
    state: RawResource | undefined,
  ) {
    if (!state) return;
    if (entry.removeOld != null) this.replacedOld.set(entry.removeOld, state);
    if (entry.removeNew != null && this.created.has(entry.removeNew))
      this.created.set(entry.removeNew, state);
  }
}

function resourcesOf(deployment: ReadonlyMap<string, string>): RawResource[] {
  return elementsOf(deployment.get('resources') ?? '[]').map(RawResource.parse);
}

function setList(members: Map<string, string>, name: string, elements: readonly string[]): void {
  if (elements.length > 0) members.set(name, `[${elements.join(',')}]`);
  else members.delete(name);
}
