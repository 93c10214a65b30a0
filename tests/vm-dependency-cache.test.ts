import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import * as z from 'zod';
import { Api, Deployment } from './testing/api.ts';
import { expectSuccess } from './testing/pulumi-user.ts';
import { type SlipwayUnderTest, startSlipway } from './testing/slipway.ts';

const folder = 'machine';
const stack = `local/${folder}/dev`;
/** In the place of npm, which takes minutes in an emulated machine. */
const install = `if [ -e node_modules/package/index.js ]; then echo "was there"
    rm -rf node_modules || echo "now holds $(ls -A node_modules | wc -l) packages"
  else mkdir -p node_modules/package ~/.npm && echo installed > node_modules/package/index.js && echo "was installed"; fi`;

let slipway: SlipwayUnderTest;
beforeAll(async () => {
  slipway = await startSlipway({ isolation: 'vm', cpus: 1, memoryMib: 1024, volumeGib: 4 });
  const project = join(slipway.workingCopy, folder);
  await mkdir(project, { recursive: true });
  await writeFile(join(project, 'Pulumi.yaml'), `name: ${folder}\nruntime: nodejs\n`);
  await writeFile(join(project, 'package-lock.json'), '{"lockfileVersion": 3, "packages": {}}\n');
  await slipway.publish();
  await slipway.pulumi(['login', slipway.url], { folder });
  expectSuccess(await slipway.pulumi(['stack', 'init', stack], { folder }));
}, 300_000);
afterAll(() => slipway?.close());

/** A refresh, which needs no program. */
async function deploy(): Promise<string> {
  const api = new Api(slipway.url, slipway.adminToken);
  const answer = await api.expect('POST', `/api/stacks/${stack}/deployments`, {
    operation: 'refresh',
    sourceContext: { git: { repoUrl: slipway.repositoryUrl, branch: 'main', repoDir: folder } },
    operationContext: { preRunCommands: [install], options: { skipInstallDependencies: true } },
    cacheOptions: { enable: true },
  });
  const deployment = new Deployment(api, stack, z.object({ id: z.string() }).parse(answer).id);
  const { outcome } = await deployment.finished(600_000);
  const log = (await deployment.log()).join('\n');
  expect(outcome, log).toBe('succeeded');
  return log;
}

test('what one machine installs is mounted in the next one before its commands run', async () => {
  const first = await deploy();
  expect(first).toContain('Cache not used: there is no entry for this key yet.');
  expect(first).toContain('was installed');
  expect(first).toMatch(/Uploaded npm-[0-9a-f]{64} successfully/);
  const second = await deploy();
  expect(second).toMatch(/Cache used: an entry of [\d.]+ MB, of the scope "main"\./);
  expect(second).toContain('was there');
  // Only what is in a mount point can be removed.
  expect(second).toContain("cannot remove 'node_modules': Device or resource busy");
  expect(second).toContain('now holds 0 packages');
}, 900_000);
