import {
  buildDefaultImage,
  cacheDirectory,
  ensureGuest,
  ensureLanguageHost,
  ensurePulumiCli,
  ensureToolbox,
} from '@slipway/runner';
import { Listr, PRESET_TIMER } from 'listr2';
import { ensureDebianPackages } from './debian-packages.ts';

/** What set-up made sure of: each stage is idempotent and takes milliseconds when there is nothing to do. */
interface Stage {
  readonly title: string;
  readonly run: (report: (line: string) => void) => Promise<string>;
}

function stages(environment: NodeJS.ProcessEnv): Stage[] {
  const cache = cacheDirectory(environment);
  return [
    {
      title: 'Debian packages',
      run: async (report) =>
        environment.SLIPWAY_SKIP_PACKAGES ? 'skipped (SLIPWAY_SKIP_PACKAGES)' : ensureDebianPackages(report),
    },
    {
      title: 'Guest kernel and initramfs',
      run: async (report) => (await ensureGuest({ cacheDirectory: cache, report })).initramfsPath,
    },
    { title: 'The pulumi CLI', run: (report) => ensurePulumiCli({ cacheDirectory: cache, report }) },
    {
      title: 'Node.js language host',
      run: (report) => ensureLanguageHost({ cacheDirectory: cache, report }),
    },
    {
      title: 'Toolbox (Node and the executor)',
      run: async (report) => (await ensureToolbox({ cacheDirectory: cache, report })).erofsPath,
    },
    {
      title: 'Default executor image',
      run: async (report) => (await buildDefaultImage({ cacheDirectory: cache, report })).reference,
    },
  ];
}

/** Sets up what is missing on this host, with a line and a duration for each stage. */
export async function setUp(environment: NodeJS.ProcessEnv): Promise<void> {
  const tasks = new Listr<void, 'default', 'verbose'>(
    stages(environment).map((stage) => ({
      title: stage.title,
      task: async (_context, task) => {
        const result = await stage.run((line) => {
          task.output = line;
        });
        task.title = `${stage.title}: ${result}`;
      },
    })),
    {
      fallbackRenderer: 'verbose',
      rendererOptions: { timer: PRESET_TIMER, collapseSubtasks: false },
      fallbackRendererOptions: { timer: PRESET_TIMER },
    },
  );
  await tasks.run();
}
