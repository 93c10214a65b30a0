/** A command that writes so many lines, `line 1`, `line 2` …, 3,000 a second. */
export function chatter(lines: number): string {
  return `node -e 'let n = 0; const t = setInterval(() => { for (let i = 0; i < 60; i++) console.log("line " + ++n); if (n >= ${lines}) clearInterval(t); }, 20)'`;
}

/** The numbers of the lines of `chatter` in a log, in the order in which they are there. */
export function numbersIn(log: readonly string[]): number[] {
  return log.flatMap((line) => /^line (\d+)$/.exec(line)?.[1] ?? []).map(Number);
}

/** 1, 2 … `count`: each line once, and none missing. */
export function upTo(count: number): number[] {
  return Array.from({ length: count }, (_, index) => index + 1);
}
