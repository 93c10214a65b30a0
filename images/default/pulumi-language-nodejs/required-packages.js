import { GetRequiredPackagesResponse } from '@pulumi/pulumi/proto/language_pb.js';
import { PackageDependency, PackageParameterization } from '@pulumi/pulumi/proto/plugin_pb.js';
import { installedPackages } from './packages.js';

/**
 * `GetRequiredPackages`: the resource plugins that the engine fetches before a run. An npm package that needs one says
 * so with `"pulumi": { "resource": true }` in its package.json.
 */
export function getRequiredPackages(request) {
  const required = new Map();
  for (const { manifest } of installedPackages(request.getInfo().getProgramDirectory())) {
    if (manifest.pulumi?.resource !== true) continue;
    const dependency = packageDependency(manifest);
    required.set(`${dependency.getName()}@${dependency.getVersion()}`, dependency);
  }
  return new GetRequiredPackagesResponse().setPackagesList([...required.values()]);
}

function packageDependency({ name, version, pulumi }) {
  const dependency = new PackageDependency()
    .setKind('resource')
    .setName(pulumi.name ?? name.replace(/^@pulumi\//, ''))
    .setVersion(withLeadingV(pulumi.version ?? version ?? ''))
    .setServer(pulumi.server ?? '');
  const parameters = pulumi.parameterization;
  if (parameters) {
    dependency.setParameterization(
      new PackageParameterization()
        .setName(parameters.name)
        .setVersion(parameters.version)
        .setValue(parameters.value ?? ''),
    );
  }
  return dependency;
}

function withLeadingV(version) {
  return version === '' || version.startsWith('v') ? version : `v${version}`;
}
