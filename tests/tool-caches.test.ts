import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import * as z from 'zod';
import { Api, Deployment } from './testing/api.ts';
import {
  berry,
  type CachedProject,
  go,
  npm,
  pip,
  pnpm,
  poetry,
  uv,
  writeProject,
  yarn,
} from './testing/cached-projects.ts';
import { dotnet } from './testing/dotnet-project.ts';
import { type PackageHost, startPackageHost } from './testing/package-host.ts';
import { type SlipwayUnderTest, startSlipway } from './testing/slipway.ts';

const tools = { npm, yarn, berry, pnpm, pip, uv, poetry, go, dotnet };

let folder: string;
let host: PackageHost;
let slipway: SlipwayUnderTest;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'slipway-tool-caches-'));
  host = await startPackageHost(join(folder, 'indexes'));
  slipway = await startSlipway({ allowPrivateNetworks: [`${host.address}/32`] });
  for (const make of Object.values(tools)) {
    const project = make(host);
    await writeProject(project, join(slipway.workingCopy, project.name), join(folder, 'home'));
  }
  await slipway.publish();
}, 600_000);
afterAll(async () => {
  await slipway?.close();
  await host?.[Symbol.asyncDispose]();
  await rm(folder, { recursive: true, force: true });
});

/** Installs with these commands before, in a sandbox that reaches the package host alone. Answers log and requests. */
async function deploy(project: CachedProject, commands: readonly string[]) {
  const stack = `local/${project.name}/dev`;
  const before = host.packageRequests.length;
  const api = new Api(slipway.url, slipway.adminToken);
  const unpack = project.tools.map((name) => `curl -sSf ${host.url}/tools/${name}.tar | tar -x -C / ./usr`);
  const answer = await api.expect('POST', `/api/stacks/${stack}/deployments`, {
    operation: project.isProgram ? 'update' : 'refresh',
    sourceContext: { git: { repoUrl: slipway.repositoryUrl, branch: 'main', repoDir: project.name } },
    operationContext: {
      preRunCommands: [...unpack, ...commands],
      environmentVariables: project.environment,
      options: { skipInstallDependencies: !project.isProgram },
    },
    cacheOptions: { enable: true },
  });
  const deployment = new Deployment(api, stack, z.object({ id: z.string() }).parse(answer).id);
  const { outcome } = await deployment.finished();
  const log = (await deployment.log()).join('\n');
  expect(outcome, log).toBe('succeeded');
  return { log, requests: host.packageRequests.slice(before) };
}

test.each(Object.entries(tools))(
  'what %s has installed in one run the next one installs without its registry',
  async (name, make) => {
    const project = make(host);
    const key = name === 'berry' ? 'yarn' : name;
    const stack = await slipway.api('POST', `/api/stacks/local/${project.name}`, { stackName: 'dev' });
    expect(stack).toMatchObject({ status: 200 });
    await slipway.api('PUT', `/api/slipway/stacks/local/${project.name}/dev/sandbox`, {
      egress: { mode: 'allow', hosts: [host.address] },
    });

    const first = await deploy(project, project.install);
    expect(first.log).toContain('Cache not used: there is no entry for this key yet.');
    expect(first.log).toContain(project.installed);
    expect(first.log).not.toContain(project.found);
    expect(first.log).toMatch(new RegExp(`Uploaded ${key}-[0-9a-f]{64} successfully`));
    expect(first.requests).toContainEqual(expect.stringMatching(/\.(tgz|whl|zip|nupkg)$/));

    const second = await deploy(project, [...project.installAgain, ...project.install]);
    expect(second.log).toMatch(/Cache used: an entry of [\d.]+ MB, of the scope "main"\./);
    expect(second.log).toContain(project.found);
    expect(second.log).toContain(project.installed);
    expect(second.requests).toEqual([]);
  },
  300_000,
);
