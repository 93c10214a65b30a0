import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { exampleRepositoryPath } from '@slipway/control-plane';
import {
  cacheDirectory,
  defaultImageReference,
  ensureLanguageHost,
  ensurePulumiCli,
  runCommand,
} from '@slipway/runner';
import { commitAndPush, makeExampleRepository } from '../quickstart/example-repository.ts';
import { runVisibly } from '../quickstart/run-visibly.ts';
import { setUp } from '../setup/setup.ts';
import { defaultImageOf } from './runner.ts';
import { listenForStop } from './stop-requests.ts';
import { startAll, type UpFlags } from './up.ts';

export interface QuickstartFlags extends UpFlags {
  exit?: boolean;
}

const stack = 'dev';

/** `slipway quickstart`: sets up, starts everything and runs a real deployment with the real CLI. */
export async function quickstart(flags: QuickstartFlags): Promise<void> {
  await setUp(process.env);
  const temporary = flags.exit ? await mkdtemp(join(tmpdir(), 'slipway-quickstart-')) : undefined;
  try {
    await deployExample(temporary ? { ...flags, dataDir: temporary, listen: '127.0.0.1:0' } : flags);
  } finally {
    if (temporary) await rm(temporary, { recursive: true, force: true });
  }
}

async function deployExample(flags: QuickstartFlags): Promise<void> {
  const directory = join(flags.dataDir, 'quickstart');
  const repository = await makeExampleRepository(directory);
  const defaultImage = await defaultImageOf(flags);
  const slipway = await startAll({ ...flags, defaultImage }, { exampleRepository: repository.bareDirectory });
  try {
    console.log(
      `Slipway is ready at ${slipway.url}. Now a deployment of examples/greeting, with the pulumi CLI:\n`,
    );
    const project = join(repository.workingDirectory, 'greeting');
    const pulumi = await pulumiCommand(
      slipway.url,
      slipway.adminToken,
      join(directory, 'pulumi-home'),
      project,
    );
    await pulumi.quietly('login', slipway.url);
    const name = `${flags.organization}/${stack}`;
    await pulumi.visibly('stack', 'select', '--create', name);
    await pulumi.visibly('config', 'set', 'name', 'Slipway', '--stack', name);
    await pulumi.visibly('config', 'set', '--secret', 'signature', 'sealed with a kiss', '--stack', name);
    await commitAndPush(repository.workingDirectory, 'Configure the stack dev');
    // The image that set-up builds brings the Pulumi SDK along, so nothing has to be installed for this program.
    await pulumi.visibly(
      ...[
        'deployment',
        'settings',
        'edit',
        '--stack',
        name,
        ...(defaultImage === defaultImageReference ? ['--skip-install-deps'] : []),
      ],
      ...[
        '--git-url',
        `http://slipway.internal${exampleRepositoryPath}`,
        '--branch',
        'main',
        '--folder',
        'greeting',
      ],
    );
    const code = await pulumi.visibly(
      ...['deployment', 'run', 'update', '--stack', name, '--suppress-stream-logs=false'],
    );
    if (code !== 0) {
      process.exitCode = code;
      console.error(`\nThe deployment failed; its log is above.`);
    } else {
      await pulumi.visibly('stack', 'output', '--stack', name);
    }
    if (flags.exit) return;
    console.log(`\nSlipway goes on running; Ctrl-C stops it. To play with it, in another terminal:`);
    for (const [variable, value] of Object.entries(pulumi.variables))
      console.log(`  export ${variable}="${value}"`);
    console.log(`  cd ${project}\n  pulumi deployment run update --suppress-stream-logs=false`);
    await listenForStop().toDrain;
  } finally {
    await slipway.close();
  }
}

/** The pulumi CLI with a home of its own, so that the user's own logins stay as they are. */
async function pulumiCommand(url: string, accessToken: string, home: string, project: string) {
  const cache = { cacheDirectory: cacheDirectory(process.env), report: () => undefined };
  const pulumi = await ensurePulumiCli(cache);
  const languageHost = await ensureLanguageHost(cache);
  const variables = {
    PATH: `${join(pulumi, '..')}:${languageHost}:${process.env.PATH ?? ''}`,
    PULUMI_HOME: home,
    PULUMI_BACKEND_URL: url,
    PULUMI_ACCESS_TOKEN: accessToken,
    PULUMI_SKIP_UPDATE_CHECK: 'true',
  };
  const options = { cwd: project, env: { ...process.env, ...variables, PULUMI_EXPERIMENTAL: 'true' } };
  return {
    variables,
    quietly: (...args: string[]) =>
      runCommand([pulumi, ...args, '--non-interactive'], {
        workingDirectory: project,
        environment: options.env,
      }),
    visibly: (...args: string[]) => {
      console.log(`$ pulumi ${args.map((each) => (/[\s]/.test(each) ? `'${each}'` : each)).join(' ')}`);
      return runVisibly([pulumi, ...args, '--non-interactive'], options);
    },
  };
}
