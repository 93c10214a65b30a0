import { dirname, join } from 'node:path';
import * as z from 'zod';
import { MiB, sourceText } from './source-file.ts';

/** What a project file says about how its program is run. */
export interface ProjectRuntime {
  /** `nodejs`, `python`, `go`, … */
  readonly name: string;
  /** E.g. `toolchain`, `virtualenv`, `packagemanager`. */
  readonly options: Readonly<Record<string, unknown>>;
}

const projectFiles = ['Pulumi.yaml', 'Pulumi.yml', 'Pulumi.json'];
/** Of a runtime whose program is in it, a file may be long. */
const maximumFileBytes = MiB;

const projectFile = z.object({
  runtime: z.union([
    z.string(),
    z.object({ name: z.string(), options: z.record(z.string(), z.unknown()).nullish() }),
  ]),
});

/**
 * The runtime of the project in `directory`, or in the folders above it up to `top`, as the CLI looks for it. Null when
 * there is no project file that names one. Throws `CacheNotUsed` where it is not one that can be read.
 */
export async function projectRuntime(directory: string, top: string): Promise<ProjectRuntime | null> {
  for (const name of projectFiles) {
    const text = await sourceText(join(directory, name), maximumFileBytes);
    if (text !== null) return runtimeIn(text);
  }
  return directory === top ? null : projectRuntime(dirname(directory), top);
}

async function runtimeIn(text: string): Promise<ProjectRuntime | null> {
  // Only here: most runs need no YAML, and loading it would cost each of them.
  const { parse } = await import('yaml');
  const parsed = projectFile.safeParse(parse(text));
  if (!parsed.success) return null;
  const { runtime } = parsed.data;
  return typeof runtime === 'string'
    ? { name: runtime, options: {} }
    : { name: runtime.name, options: runtime.options ?? {} };
}
