/** A limit that a runtime or the system sets for one process, how its breach shows, and how the limit is raised. */
interface OwnMemoryLimit {
  readonly pattern: RegExp;
  readonly breach: string;
  readonly remedy: string;
}

/** The most telling first. The words are those of the runtimes themselves (OpenJDK 17, .NET 8, Go 1.26, V8 13). */
const limits: readonly OwnMemoryLimit[] = [
  {
    pattern: /JavaScript heap out of memory|ERR_WORKER_OUT_OF_MEMORY/,
    breach: 'Node.js reached the limit of its heap',
    remedy: 'Raise it with the environment variable NODE_OPTIONS=--max-old-space-size=<MiB>.',
  },
  {
    // "unable to create native thread" is about processes, not memory.
    pattern:
      /java\.lang\.OutOfMemoryError: (?!unable to create)|Could not reserve enough space for .* heap|insufficient memory for the Java Runtime/,
    breach: 'Java reached the limit of its memory',
    remedy: 'Raise it with the environment variable JAVA_TOOL_OPTIONS=-Xmx<MiB>m.',
  },
  {
    pattern: /System\.OutOfMemoryException|GC heap initialization failed|HRESULT: 0x8007000E/,
    breach: '.NET reached the limit of its heap',
    remedy: 'Raise it with the environment variable DOTNET_GCHeapHardLimit=<bytes, hexadecimal>.',
  },
  {
    pattern: /fatal error: (runtime: )?out of memory|fatal error: failed to reserve page summary memory/,
    breach: 'a Go program was refused more memory',
    remedy: 'Raise the limit that was set for it, with `ulimit -v` for example.',
  },
  {
    pattern: /^\s*MemoryError\b|Cannot allocate memory|\bENOMEM\b|std::bad_alloc/,
    breach: 'a process was refused more memory',
    remedy: 'Raise the limit that was set for it, with `ulimit -v` for example.',
  },
];

/** V8's account of its last collection: `[<process id>:0x…] … -> <MB in use> (<MB reserved>) MB`. */
const lastCollection = /\[(\d+):0x[0-9a-f]+\].*-> [\d.]+ \(([\d.]+)\) MB/;

/** Which process reached a limit of its own, as one sentence, and how to raise that; null when no line tells of one. */
export function findOwnMemoryLimit(lines: readonly string[]): string | null {
  const breached = limits.find(({ pattern }) => lines.some((line) => pattern.test(line)));
  if (!breached) return null;
  const collection = lines.map((line) => lastCollection.exec(line)).findLast((match) => match !== null);
  const [, processId, heapMegabytes] = collection ?? [];
  const particulars = collection ? ` (process ${processId}, with a heap of ${heapMegabytes} MB)` : '';
  return `${breached.breach}${particulars}. ${breached.remedy}`;
}
