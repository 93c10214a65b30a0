import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import * as z from 'zod';
import { createClosedNetwork } from '../src/images/closed-network.ts';
import { createImageStore } from '../src/images/image-store.ts';
import { runCommand } from '../src/setup/run-command.ts';
import { layerOf } from '../src/testing/layers.ts';
import { onSmallInternet } from '../src/testing/small-internet.ts';
import { push, startRegistry } from './image-registry.ts';

let folder: string;
const image = { layers: [layerOf([{ file: 'usr/bin/pulumi', mode: 0o755 }])] };

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'slipway-image-network-'));
});
afterAll(() => rm(folder, { recursive: true }));

const outcomes = z.record(z.string(), z.object({ outcome: z.string(), asked: z.boolean() }));

describe('a pull', () => {
  let results: { open: z.infer<typeof outcomes>; closed: z.infer<typeof outcomes> };
  const evil = () =>
    Object.entries(results.closed).filter(([reference]) => reference.includes('.evil.example/'));

  beforeAll(async () => {
    const data = join(folder, 'registry');
    {
      await using registry = await startRegistry(data);
      await push(folder, `${registry.host}/team/program:1`, image);
    }
    const [key, certificate] = [join(folder, 'key.pem'), join(folder, 'certificate.pem')];
    await runCommand([
      ...['openssl', 'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'],
      ...['-keyout', key, '-out', certificate, '-subj', '/CN=registry.example', '-days', '2'],
      ...['-addext', 'subjectAltName=DNS:registry.example,DNS:*.evil.example'],
    ]);
    const configuration = join(folder, 'public.json');
    await writeFile(
      configuration,
      JSON.stringify({
        version: '0.1',
        storage: { filesystem: { rootdirectory: join(data, 'data') } },
        http: { addr: '198.51.100.4:443', tls: { certificate, key } },
      }),
    );
    process.env.SSL_CERT_FILE = certificate;
    const output = await onSmallInternet(join(import.meta.dirname, 'fixtures/image-puller.ts'), {
      input: { configuration, certificate, key, cacheDirectory: folder },
    });
    delete process.env.SSL_CERT_FILE;
    results = z.object({ open: outcomes, closed: outcomes }).parse(output);
  }, 90_000);

  test('reaches a public registry by its name', () => {
    expect(results.closed['registry.example/team/program:1']).toEqual({ outcome: 'pulled', asked: false });
  });

  test('is led neither to the host, nor to metadata services, nor to private networks by what a registry answers', () => {
    // The same pulls from the host's own network show that there is something to be led to.
    for (const [reference] of evil())
      expect([reference, results.open[reference]?.asked]).toEqual([reference, true]);
    expect(evil()).toHaveLength(8);
    for (const [reference, { asked, outcome }] of evil()) {
      expect([reference, asked]).toEqual([reference, false]);
      expect(outcome).toContain('have to be named to the runner with --allow-private-registries');
    }
  });

  test.each([
    ['127.0.0.1:8001/x:1', '127.0.0.1'],
    ['192.0.2.2:8001/x:1', undefined],
    ['169.254.169.254:8001/x:1', '169.254.169.254'],
    ['private.example/x:1', '10.20.0.5'],
  ])('of %s does not reach the private address, and says why and what to do', (reference, address) => {
    const { outcome = '', asked } = results.closed[reference] ?? {};
    expect(asked).toBe(false);
    expect(outcome).toContain('--allow-private-registries');
    if (address) expect(outcome).toContain(`is at the private address ${address}, where pulls do not go`);
  });
});

test('a registry on the host is asked where the runner is told to', async () => {
  await using registry = await startRegistry(join(folder, 'own'));
  await push(folder, `${registry.host}/team/program:1`, image);
  const storeWith = (openRegistries: string[]) => {
    const cacheDirectory = join(folder, `cache-${openRegistries.length}`);
    const resolverFile = join(cacheDirectory, 'resolv.conf');
    const network = createClosedNetwork({ openRegistries, allowedPrivateNetworks: [], resolverFile });
    return createImageStore({ cacheDirectory, network });
  };
  const before = registry.requests(/./);
  await expect(storeWith([]).resolve(`${registry.host}/team/program:1`)).rejects.toThrow(
    `its registry ${registry.host} is at the private address 127.0.0.1, where pulls do not go; allow it with --allow-private-registries ${registry.host}`,
  );
  expect(registry.requests(/./)).toBe(before);
  const images = storeWith([registry.host]);
  expect((await images.resolve(`${registry.host}/team/program:1`)).reference).toContain('team/program');
  await images.close();
});
