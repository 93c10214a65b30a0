import { DependencyInfo, GetProgramDependenciesResponse } from '@pulumi/pulumi/proto/language_pb.js';
import { installedPackages, readPackage, upwards } from './packages.js';

/** `GetProgramDependencies`, for `pulumi about`: name and installed version of what the program depends on. */
export function getProgramDependencies(request) {
  const directory = request.getInfo()?.getProgramDirectory() || request.getPwd();
  const installed = new Map();
  for (const { manifest } of installedPackages(directory)) {
    // The nearest copy is what the program itself loads.
    if (!installed.has(manifest.name)) installed.set(manifest.name, manifest.version);
  }
  const wanted = request.getTransitivedependencies() ? installed : directDependencies(directory);
  return new GetProgramDependenciesResponse().setDependenciesList(
    [...wanted].map(([name, range]) =>
      new DependencyInfo().setName(name).setVersion(installed.get(name) ?? range ?? ''),
    ),
  );
}

function directDependencies(directory) {
  for (const folder of upwards(directory)) {
    const manifest = readPackage(folder);
    if (manifest) return Object.entries({ ...manifest.dependencies, ...manifest.devDependencies });
  }
  return [];
}
