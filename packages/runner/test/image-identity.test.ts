import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import { awsIdentity } from '../src/images/identity/aws.ts';
import { azureIdentity } from '../src/images/identity/azure.ts';
import { googleIdentity } from '../src/images/identity/google.ts';
import { hostIdentities } from '../src/images/identity/host-identities.ts';
import type { RegistryIdentity } from '../src/images/identity/registry-identity.ts';
import { createImageStore } from '../src/images/image-store.ts';
import { registryLogins } from '../src/images/registry-login.ts';
import { layerOf } from '../src/testing/layers.ts';
import { startTokenService, type TokenService } from '../src/testing/token-service.ts';
import { push, startRegistry, type TestRegistry } from './image-registry.ts';

let folder: string;
let tokens: TokenService;
let registry: TestRegistry;
let reference: string;
/** What the cloud was asked. */
let asked: { path: string; body: string; headers: NodeJS.Dict<string | string[]> }[];

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'slipway-image-identity-'));
  tokens = await startTokenService(folder);
  registry = await startRegistry(join(folder, 'registry'), { auth: tokens.registryAuthentication });
  reference = `${registry.host}/team/private:1`;
  tokens.admit('pusher', 'secret');
  await push(
    folder,
    reference,
    { layers: [layerOf([{ file: 'usr/bin/pulumi', mode: 0o755 }])] },
    'pusher:secret',
  );
});
afterAll(async () => {
  await registry[Symbol.asyncDispose]();
  await tokens[Symbol.asyncDispose]();
  await rm(folder, { recursive: true });
});
beforeEach(async () => {
  asked = [];
  vi.stubEnv('HOME', await mkdtemp(join(folder, 'home-')));
  for (const name of Object.keys(process.env).filter((each) =>
    /^(AWS|AZURE|GOOGLE|GCE|IDENTITY|REGISTRY_AUTH)_/.test(each),
  ))
    vi.stubEnv(name, undefined);
});
afterEach(() => vi.unstubAllEnvs());

/** The cloud answers paths that begin so; the password in an answer is one that the token service knows. */
function cloud(answers: Readonly<Record<string, object>>): void {
  tokens.answerElse = (call, body) => {
    asked.push({ path: call.url ?? '', body, headers: call.headers });
    return Object.entries(answers).find(([path]) => call.url?.startsWith(path))?.[1];
  };
}

async function pullWith(identity: RegistryIdentity) {
  const cacheDirectory = await mkdtemp(join(folder, 'cache-'));
  const logins = registryLogins([identity]);
  return createImageStore({ cacheDirectory, logins }).resolve(reference);
}
const isOurs = (host: string) => host === registry.host;
const password = () => `of-the-cloud-${Math.random()}`;

describe('a registry with a token service lets in', () => {
  test('whom AWS knows by its keys: Amazon ECR', async () => {
    const token = password();
    tokens.admit('AWS', token);
    cloud({
      '/': {
        authorizationData: [
          {
            authorizationToken: Buffer.from(`AWS:${token}`).toString('base64'),
            expiresAt: Date.now() / 1000 + 43_200,
          },
        ],
      },
    });
    vi.stubEnv('AWS_ACCESS_KEY_ID', 'AKIDEXAMPLE');
    vi.stubEnv('AWS_SECRET_ACCESS_KEY', 'example');
    vi.stubEnv('AWS_ENDPOINT_URL_ECR', tokens.url);
    await pullWith(awsIdentity((host) => (isOurs(host) ? 'eu-west-1' : undefined)));
    expect(asked[0]?.headers).toMatchObject({
      'x-amz-target': 'AmazonEC2ContainerRegistry_V20150921.GetAuthorizationToken',
      authorization: expect.stringMatching(
        /^AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE\/\d{8}\/eu-west-1\/ecr\//,
      ),
    });
  });

  test('whom AWS knows by the role of its task: Amazon ECR', async () => {
    const token = password();
    tokens.admit('AWS', token);
    const expires = new Date(Date.now() + 3_600_000).toISOString();
    cloud({
      '/role': { AccessKeyId: 'AKIDROLE', SecretAccessKey: 'example', Token: 'session', Expiration: expires },
      '/': {
        authorizationData: [
          {
            authorizationToken: Buffer.from(`AWS:${token}`).toString('base64'),
            expiresAt: Date.now() / 1000 + 43_200,
          },
        ],
      },
    });
    vi.stubEnv('AWS_CONTAINER_CREDENTIALS_FULL_URI', `${tokens.url}/role`);
    vi.stubEnv('AWS_ENDPOINT_URL_ECR', tokens.url);
    await pullWith(awsIdentity((host) => (isOurs(host) ? 'eu-west-1' : undefined)));
    expect(asked.map(({ path }) => path)).toEqual(['/role', '/']);
    expect(asked[1]?.headers.authorization).toContain('AKIDROLE');
  });

  test('whom Google Cloud knows by the service account of its machine: Artifact Registry', async () => {
    const token = password();
    tokens.admit('oauth2accesstoken', token);
    cloud({
      '/computeMetadata/v1/instance/service-accounts/default/token': {
        ...{ access_token: token, expires_in: 3599, token_type: 'Bearer' },
      },
      '/computeMetadata/v1/project/project-id': {},
      '/computeMetadata/v1/instance': {},
      '/computeMetadata/v1/universe': {},
    });
    vi.stubEnv('GCE_METADATA_HOST', tokens.url.replace('http://', ''));
    vi.stubEnv('METADATA_SERVER_DETECTION', 'assume-present');
    await pullWith(googleIdentity(isOurs));
    expect(asked.find(({ path }) => path.includes('/token'))?.headers['metadata-flavor']).toBe('Google');
  });

  /** The registry's own exchange of a token of Azure for one of its own. */
  const exchange = (refreshToken: string) => ({ '/oauth2/exchange': { refresh_token: refreshToken } });
  const azure = () =>
    azureIdentity({
      ...{ environment: process.env, serves: isOurs },
      exchangeUrl: () => `${tokens.url}/oauth2/exchange`,
    });
  const tokenUser = '00000000-0000-0000-0000-000000000000';

  test.each([
    [
      'by the managed identity of its machine',
      () => vi.stubEnv('AZURE_POD_IDENTITY_AUTHORITY_HOST', tokens.url),
      '/metadata/identity/oauth2/token?resource=https%3A%2F%2Fcontainerregistry.azure.net&api-version=2018-02-01',
      { metadata: 'true' },
    ],
    [
      'by the managed identity of its App Service',
      () => {
        vi.stubEnv('IDENTITY_ENDPOINT', `${tokens.url}/msi`);
        vi.stubEnv('IDENTITY_HEADER', 'of the host');
      },
      '/msi?resource=https%3A%2F%2Fcontainerregistry.azure.net&api-version=2019-08-01',
      { 'x-identity-header': 'of the host' },
    ],
  ])('whom Azure knows %s: Azure Container Registry', async (_how, set, path, headers) => {
    const token = password();
    tokens.admit(tokenUser, token);
    cloud({
      '/metadata': { access_token: 'of-azure' },
      '/msi': { access_token: 'of-azure' },
      ...exchange(token),
    });
    set();
    await pullWith(azure());
    expect(asked[0]).toMatchObject({ path, headers });
    const form = new URLSearchParams(asked[1]?.body);
    expect(Object.fromEntries(form)).toEqual({
      ...{ grant_type: 'access_token', service: registry.host, access_token: 'of-azure' },
    });
  });

  test('whom Azure knows by the workload identity of its pod: Azure Container Registry', async () => {
    const token = password();
    tokens.admit(tokenUser, token);
    cloud({ '/tenant/oauth2/v2.0/token': { access_token: 'of-azure' }, ...exchange(token) });
    const file = join(folder, 'federated-token');
    await writeFile(file, 'the-federated-token\n');
    vi.stubEnv('AZURE_FEDERATED_TOKEN_FILE', file);
    vi.stubEnv('AZURE_CLIENT_ID', 'client');
    vi.stubEnv('AZURE_TENANT_ID', 'tenant');
    vi.stubEnv('AZURE_AUTHORITY_HOST', `${tokens.url}/`);
    await pullWith(azure());
    expect(Object.fromEntries(new URLSearchParams(asked[0]?.body))).toMatchObject({
      ...{ client_id: 'client', client_assertion: 'the-federated-token', grant_type: 'client_credentials' },
      scope: 'https://containerregistry.azure.net/.default',
    });
  });
});

describe('the identity of the host', () => {
  const identity = (logIn: RegistryIdentity['logIn']): RegistryIdentity => ({
    cloud: 'Testcloud',
    serves: isOurs,
    logIn,
  });

  test('that is none is told where the registry then refuses, and not asked for again at once', async () => {
    let times = 0;
    let now = 1_000_000;
    const logins = registryLogins(
      [
        identity(async () => {
          times += 1;
          throw new Error('nobody knows this host');
        }),
      ],
      () => now,
    );
    const images = createImageStore({ cacheDirectory: await mkdtemp(join(folder, 'cache-')), logins });
    for (let time = 0; time < 2; time += 1) {
      await expect(images.resolve(reference)).rejects.toThrow(
        /the registry refuses access.*Testcloud gives the runner's host no identity to log in with: nobody knows this host\./,
      );
    }
    expect(times).toBe(1);
    now += 6 * 60_000;
    await expect(images.resolve(reference)).rejects.toThrow('refuses access');
    expect(times).toBe(2);
  });

  test('is asked for a new login before the old one ends', async () => {
    let now = 1_000_000;
    let times = 0;
    const logIn = async () => {
      times += 1;
      return { username: 'pusher', password: 'secret', expiresAt: now + 3_600_000 };
    };
    const logins = registryLogins([identity(logIn)], () => now);
    const loginAfter = async (minutes: number) => {
      now += minutes * 60_000;
      return logins.loginAt(registry.host, null);
    };
    for (const minutes of [0, 30, 24])
      expect(await loginAfter(minutes)).toMatchObject({ username: 'pusher' });
    expect(times).toBe(1);
    await loginAfter(2);
    expect(times).toBe(2);
  });

  test('comes after the login of the settings and after that of the host', async () => {
    const logins = registryLogins([
      identity(async () => ({ username: 'a', password: 'b', expiresAt: 2 ** 52 })),
    ]);
    const ofRun = { username: 'of the run', password: 'x' };
    expect(await logins.loginAt(registry.host, ofRun)).toBe(ofRun);
    const file = join(folder, 'auth.json');
    await writeFile(file, JSON.stringify({ auths: { [registry.host]: { auth: 'eDp5' } } }));
    vi.stubEnv('REGISTRY_AUTH_FILE', file);
    expect(await logins.loginAt(registry.host, null)).toBeNull();
    expect(await logins.loginAt('registry.example.com', null)).toBeNull();
  });

  test.each([
    ['123456789012.dkr.ecr.eu-central-1.amazonaws.com', 'AWS'],
    ['123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn', 'AWS'],
    ['123456789012.dkr.ecr-fips.us-gov-west-1.amazonaws.com', 'AWS'],
    ['europe-west1-docker.pkg.dev', 'Google Cloud'],
    ['gcr.io', 'Google Cloud'],
    ['eu.gcr.io', 'Google Cloud'],
    ['acme.azurecr.io', 'Azure'],
    // Somebody else's, who would be sent the login.
    ['123456789012.dkr.ecr.eu-central-1.amazonaws.com.evil.example', undefined],
    ['evil.example', undefined],
    ['notgcr.io', undefined],
    ['gcr.io.evil.example', undefined],
    ['europe-docker.pkg.dev.evil.example', undefined],
    ['docker.pkg.dev.evil.example', undefined],
    ['evil.azurecr.io.evil.example', undefined],
    ['acme.azurecr.io:8443', undefined],
    ['docker.io', undefined],
  ])('is for %s: %s', (host, cloudName) => {
    expect(hostIdentities({}).find(({ serves }) => serves(host))?.cloud).toBe(cloudName);
  });
});
