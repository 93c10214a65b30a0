import { readFile } from 'node:fs/promises';
import { z } from 'zod';
import type { RegistryIdentity } from './registry-identity.ts';

const registryName = /^[a-z0-9]+\.azurecr\.(?:io|cn|us)$/;
/** A token for registries alone, and not for all of Azure. */
const resource = 'https://containerregistry.azure.net';
/** The user name that goes with a refresh token. */
const tokenUser = '00000000-0000-0000-0000-000000000000';
/** A refresh token is good for three hours. */
const lifetimeMilliseconds = 3 * 60 * 60_000;

const accessToken = z.object({ access_token: z.string() });
const refreshToken = z.object({ refresh_token: z.string() });

export interface AzureOptions {
  readonly environment: NodeJS.ProcessEnv;
  readonly serves?: (registry: string) => boolean;
  /** Where a registry gives its own token for one of Azure. */
  readonly exchangeUrl?: (registry: string) => string;
}

/**
 * Azure Container Registry, with the identity that Azure gives this host: that of a pod (workload identity), of an App
 * Service or of the machine (managed identities). Two calls, for which Azure's own library would bring a browser along.
 * (https://github.com/Azure/acr/blob/main/docs/AAD-OAuth.md)
 */
export function azureIdentity({
  environment,
  serves = (registry) => registryName.test(registry),
  exchangeUrl = (registry) => `https://${registry}/oauth2/exchange`,
}: AzureOptions): RegistryIdentity {
  return {
    cloud: 'Azure',
    serves,
    async logIn(registry, signal) {
      const { access_token } = accessToken.parse(await ask(await tokenRequest(environment), signal));
      const form = { grant_type: 'access_token', service: registry, access_token };
      const exchange = new Request(exchangeUrl(registry), {
        method: 'POST',
        body: new URLSearchParams(form),
      });
      const { refresh_token } = refreshToken.parse(await ask(exchange, signal));
      return { username: tokenUser, password: refresh_token, expiresAt: Date.now() + lifetimeMilliseconds };
    },
  };
}

/** Where this host gets a token, by the variables that Azure sets for Azure's own tools. */
async function tokenRequest(environment: NodeJS.ProcessEnv): Promise<Request> {
  const { AZURE_FEDERATED_TOKEN_FILE, AZURE_CLIENT_ID, AZURE_TENANT_ID, IDENTITY_ENDPOINT, IDENTITY_HEADER } =
    environment;
  if (AZURE_FEDERATED_TOKEN_FILE && AZURE_CLIENT_ID && AZURE_TENANT_ID) {
    const authority = environment.AZURE_AUTHORITY_HOST ?? 'https://login.microsoftonline.com/';
    const body = new URLSearchParams({
      grant_type: 'client_credentials',
      client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
      client_assertion: (await readFile(AZURE_FEDERATED_TOKEN_FILE, 'utf8')).trim(),
      client_id: AZURE_CLIENT_ID,
      scope: `${resource}/.default`,
    });
    return new Request(new URL(`${AZURE_TENANT_ID}/oauth2/v2.0/token`, authority), { method: 'POST', body });
  }
  const query = { resource, ...(AZURE_CLIENT_ID && { client_id: AZURE_CLIENT_ID }) };
  if (IDENTITY_ENDPOINT && IDENTITY_HEADER) {
    const search = new URLSearchParams({ ...query, 'api-version': '2019-08-01' });
    return new Request(`${IDENTITY_ENDPOINT}?${search}`, {
      headers: { 'X-IDENTITY-HEADER': IDENTITY_HEADER },
    });
  }
  const host = environment.AZURE_POD_IDENTITY_AUTHORITY_HOST ?? 'http://169.254.169.254';
  const search = new URLSearchParams({ ...query, 'api-version': '2018-02-01' });
  return new Request(`${host}/metadata/identity/oauth2/token?${search}`, { headers: { Metadata: 'true' } });
}

async function ask(request: Request, signal: AbortSignal): Promise<unknown> {
  const answer = await fetch(request, { signal, redirect: 'error' });
  if (answer.ok) return answer.json();
  throw new Error(
    `${new URL(request.url).host} answered ${answer.status}: ${(await answer.text()).slice(0, 200)}`,
  );
}
