import type { RegistryIdentity } from './registry-identity.ts';

const registryName = /^(?:[a-z0-9-]+-docker\.pkg\.dev|(?:[a-z]+\.)?gcr\.io)$/;
const scope = 'https://www.googleapis.com/auth/cloud-platform';
/** Where the library does not say: as the metadata server's tokens, at least. */
const usualMilliseconds = 5 * 60_000;

/**
 * Artifact Registry and Container Registry, with the identity that Google's own tools would use on this host: the
 * service account of the machine or pod, a key or workload identity federation (`GOOGLE_APPLICATION_CREDENTIALS`).
 * (https://cloud.google.com/artifact-registry/docs/docker/authentication#token)
 */
export function googleIdentity(serves = (registry: string) => registryName.test(registry)): RegistryIdentity {
  return {
    cloud: 'Google Cloud',
    serves,
    async logIn() {
      const { GoogleAuth } = await import('google-auth-library');
      const client = await new GoogleAuth({ scopes: [scope] }).getClient();
      const { token } = await client.getAccessToken();
      if (!token) throw new Error('Google Cloud answered without a token');
      const expiresAt = client.credentials.expiry_date ?? Date.now() + usualMilliseconds;
      return { username: 'oauth2accesstoken', password: token, expiresAt };
    },
  };
}
