import {
  buildDefaultImage,
  cacheDirectory,
  ensureGuest,
  ensureGvisor,
  ensureLanguageHost,
  ensurePulumiCli,
  ensureToolbox,
} from '@slipway/runner';
import { Listr, PRESET_TIMER } from 'listr2';
import { ensureDebianPackages } from './debian-packages.ts';

type Report = (line: string) => void;

/** What set-up made sure of: each stage is idempotent and takes milliseconds when there is nothing to do. */
interface Stage {
  readonly title: string;
  readonly run: (report: Report) => Promise<string>;
}

export interface SetUpFlags {
  /** Also what the tests of this repository need. */
  tests?: boolean;
  /** Also gVisor, for `--isolation gvisor`. */
  gvisor?: boolean;
}

function stages(environment: NodeJS.ProcessEnv, flags: SetUpFlags): Stage[] {
  const cache = cacheDirectory(environment);
  return [
    {
      title: 'Debian packages',
      run: async (report) =>
        environment.SLIPWAY_SKIP_PACKAGES
          ? 'skipped (SLIPWAY_SKIP_PACKAGES)'
          : ensureDebianPackages(report, flags.tests ?? false),
    },
    {
      title: 'Guest kernel and initramfs',
      run: async (report) => (await ensureGuest({ cacheDirectory: cache, report })).initramfsPath,
    },
    ...(flags.tests || flags.gvisor
      ? [{ title: 'gVisor', run: (report: Report) => ensureGvisor({ cacheDirectory: cache, report }) }]
      : []),
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
export async function setUp(environment: NodeJS.ProcessEnv, flags: SetUpFlags = {}): Promise<void> {
  const tasks = new Listr<void, 'default', 'verbose'>(
    stages(environment, flags).map((stage) => ({
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
  if (flags.tests && process.getuid?.() !== 0)
    console.error('Many tests need root: they make network namespaces, mounts and containers.');
}
