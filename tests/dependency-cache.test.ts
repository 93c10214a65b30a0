import { existsSync } from 'node:fs';
import { afterAll, beforeAll, expect, test } from 'vitest';
import * as z from 'zod';
import { Api, Deployment } from './testing/api.ts';
import { expectSuccess } from './testing/pulumi-user.ts';
import { addExample, type SlipwayUnderTest, startSlipway } from './testing/slipway.ts';

const folder = 'from-npm';
const stack = 'local/from-npm/dev';
const hostCertificates = '/etc/ssl/certs/ca-certificates.crt';
/** Told by a command of the run's own, before anything is installed. */
const countPackages = 'echo "packages: $(ls node_modules 2>/dev/null | wc -l)"';

let slipway: SlipwayUnderTest;
const pulumi = (...args: string[]) => slipway.pulumi([...args, '--stack', stack], { folder });

beforeAll(async () => {
  slipway = await startSlipway(existsSync(hostCertificates) ? { caFile: hostCertificates } : {});
  await addExample(slipway, folder);
  await slipway.pulumi(['login', slipway.url], { folder });
  expectSuccess(await slipway.pulumi(['stack', 'init', stack], { folder }));
  expectSuccess(await pulumi('config', 'set', 'every', '2 days'));
  await slipway.publish();
  const settings = await slipway.api('PUT', `/api/stacks/${stack}/deployments/settings`, {
    sourceContext: { git: { repoUrl: slipway.repositoryUrl, branch: 'main', repoDir: folder } },
    operationContext: { preRunCommands: [countPackages] },
    cacheOptions: { enable: true },
  });
  expect(settings.status).toBe(200);
}, 600_000);
afterAll(() => slipway?.close());

/** Runs a deployment to its end, and answers its log. */
async function deploy(operation: string): Promise<string> {
  const api = new Api(slipway.url, slipway.adminToken);
  const answer = await api.expect('POST', `/api/stacks/${stack}/deployments`, { operation });
  const deployment = new Deployment(api, stack, z.object({ id: z.string() }).parse(answer).id);
  const { outcome } = await deployment.finished();
  const log = (await deployment.log()).join('\n');
  expect(outcome, log).toBe('succeeded');
  return log;
}

test('the first run saves what npm installed, the next one has it before it installs anything', async () => {
  const first = await deploy('update');
  expect(first).toContain('Detected project runtime: nodejs');
  expect(first).toContain('Cache not used: there is no entry for this key yet.');
  expect(first).toContain('packages: 0');
  expect(first).toMatch(/Uploaded npm-[0-9a-f]{64} successfully/);

  const second = await deploy('update');
  expect(second).toContain('Cache restored successfully');
  expect(second).toMatch(/Cache used: an entry of [\d.]+ MB, of the scope "main"\./);
  expect(Number(/packages: (\d+)/.exec(second)?.[1])).toBeGreaterThan(50);
  expect(second).toMatch(/Key npm-[0-9a-f]{64} already cached, skipping\.\.\./);
}, 600_000);

test('a preview reads the entry as well; once the cache of the project is cleared there is none', async () => {
  expect(await deploy('preview')).toContain('Cache used');
  expect((await slipway.api('DELETE', `/api/stacks/${stack}/deployments/cache`)).status).toBe(200);
  expect(await deploy('preview')).toContain('Cache not used: there is no entry for this key yet.');
}, 600_000);
