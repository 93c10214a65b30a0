import type { RegistryIdentity } from './registry-identity.ts';

const registryName = /^\d{12}\.dkr\.ecr(?:-fips)?\.([a-z0-9-]+)\.amazonaws\.com(?:\.cn)?$/;

/** The region of a registry of Amazon ECR; undefined for any other registry. */
function regionInName(registry: string): string | undefined {
  return registryName.exec(registry)?.[1];
}

/**
 * Amazon ECR, with the identity that AWS's own tools would use on this host: variables, profiles, the role of an
 * instance, task or pod. (https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_GetAuthorizationToken.html)
 */
export function awsIdentity(regionOf = regionInName): RegistryIdentity {
  return {
    cloud: 'AWS',
    serves: (registry) => regionOf(registry) !== undefined,
    async logIn(registry, abortSignal) {
      const { ECRClient, GetAuthorizationTokenCommand } = await import('@aws-sdk/client-ecr');
      const region = regionOf(registry);
      if (region === undefined) throw new Error(`${registry} is no registry of Amazon ECR`);
      const client = new ECRClient({ region });
      try {
        const { authorizationData } = await client.send(new GetAuthorizationTokenCommand({}), {
          abortSignal,
        });
        const { authorizationToken = '', expiresAt } = authorizationData?.[0] ?? {};
        const [username = '', password = ''] = Buffer.from(authorizationToken, 'base64')
          .toString()
          .split(':', 2);
        if (password === '') throw new Error('AWS answered without a token');
        return { username, password, expiresAt: expiresAt?.getTime() ?? 0 };
      } finally {
        client.destroy();
      }
    },
  };
}
