import type { RawResource } from './raw-resource.ts';

/**
 * Drops references to resources that a refresh has removed; children of removed resources go to the nearest parent
 * that is left. Resources stand behind what they depend on.
 * Source: Pulumi CLI pkg/backend/journal.go, rebuildDependencies and undangleParentResources.
 */
export function dropDanglingReferences(resources: readonly RawResource[]): void {
  const present = new Set<string>();
  const isPresent = (urn: string) => present.has(urn);
  for (const resource of resources) {
    resource.set('dependencies', resource.texts('dependencies').filter(isPresent));
    resource.set('replaceWith', resource.texts('replaceWith').filter(isPresent));
    const byProperty = Array.from(
      resource.textsByName('propertyDependencies'),
      ([name, urns]) => [name, urns.filter(isPresent)] as const,
    );
    resource.set('propertyDependencies', new Map(byProperty.filter(([, urns]) => urns.length > 0)));
    if (!isPresent(resource.text('deletedWith'))) resource.set('deletedWith', '');
    present.add(resource.text('urn'));
  }
  const parents = new Map<string, string>();
  for (const resource of resources) {
    const parent = resource.text('parent');
    if (!isPresent(parent)) resource.set('parent', parents.get(parent) ?? '');
    parents.set(resource.text('urn'), parent);
  }
}

/**
 * Refers to every resource by its own URN where an alias of it stands, and leaves the aliases out.
 * Source: Pulumi CLI sdk/go/common/apitype/core.go, DeploymentV3.NormalizeURNReferences.
 */
export function resolveAliases(resources: readonly RawResource[]): void {
  const renamed = renamedUrns(resources);
  const current = (urn: string) => renamed.get(urn) ?? urn;
  for (const resource of resources) {
    if (renamed.size > 0) renameReferences(resource, current);
    resource.set('aliases', '');
  }
}

function renamedUrns(resources: readonly RawResource[]): Map<string, string> {
  const renamed = new Map<string, string>();
  for (const resource of resources) {
    const urn = resource.text('urn');
    for (const alias of resource.texts('aliases')) renamed.set(alias, urn);
    // A child's URN names the type of its parent.
    const parent = renamed.get(resource.text('parent'));
    if (parent && qualifiedType(parent) !== rootType)
      renamed.set(urn, withParentType(urn, qualifiedType(parent)));
  }
  return renamed;
}

function renameReferences(resource: RawResource, current: (urn: string) => string): void {
  for (const name of ['urn', 'parent', 'deletedWith', 'viewOf']) {
    if (resource.has(name)) resource.set(name, current(resource.text(name)));
  }
  if (resource.has('dependencies')) resource.set('dependencies', resource.texts('dependencies').map(current));
  if (resource.has('propertyDependencies')) {
    const byProperty = Array.from(
      resource.textsByName('propertyDependencies'),
      ([name, urns]) => [name, urns.map(current)] as const,
    );
    resource.set('propertyDependencies', new Map(byProperty));
  }
  const provider = resource.text('provider');
  // `<urn>::<id>`
  const end = provider.lastIndexOf('::');
  if (end > 0) resource.set('provider', current(provider.slice(0, end)) + provider.slice(end));
}

const rootType = 'pulumi:pulumi:Stack';

/** `urn:pulumi:<stack>::<project>::<types of the parents, $ between them>$<type>::<name>` */
function qualifiedType(urn: string): string {
  return urn.split('::')[2] ?? '';
}

function withParentType(urn: string, parentType: string): string {
  const [stack, project, types = '', ...name] = urn.split('::');
  return [stack, project, `${parentType}$${types.split('$').at(-1)}`, ...name].join('::');
}
