import { runCommand } from './run-command.ts';

/** The shared libraries of a program, and its loader. */
export async function libraryPaths(program: string): Promise<string[]> {
  const listing = await runCommand(['ldd', program]);
  return [...listing.matchAll(/(?:=> |^\s*)(\/\S+) \(0x/gm)].map((match) => match[1] ?? '');
}
