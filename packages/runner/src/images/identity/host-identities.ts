import { awsIdentity } from './aws.ts';
import { azureIdentity } from './azure.ts';
import { googleIdentity } from './google.ts';
import type { RegistryIdentity } from './registry-identity.ts';

/** The identities that clouds give this host, each for the registries of its own cloud. */
export function hostIdentities(environment: NodeJS.ProcessEnv): readonly RegistryIdentity[] {
  return [awsIdentity(), googleIdentity(), azureIdentity({ environment })];
}
