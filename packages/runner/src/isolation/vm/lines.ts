import type { Duplex } from 'node:stream';

export interface LineReading {
  readonly longestBytes: number;
  readonly take: (line: string) => void;
  /** What comes is no text of lines that anybody honest would send. Called once; nothing is taken after it. */
  readonly violated: (what: string) => void;
}

/**
 * What honest machines send is a few lines a second, more when much happens at once or they were held up. A flood would
 * cost the runner the time that the leases of its other runs need.
 */
const mostLinesAtOnce = 5_000;
const linesASecond = 200;

/**
 * Hands over what comes from a stream line by line, as UTF-8. What comes may be hostile: too long a line and too many of
 * them are violations, and after the stream was destroyed nothing is handed over.
 */
export function readLines(stream: Duplex, { longestBytes, take, violated }: LineReading): void {
  let unfinished = '';
  let allowance = mostLinesAtOnce;
  let countedAt = performance.now();
  let isOver = false;
  const violate = (what: string) => {
    isOver = true;
    violated(what);
  };
  const hand = (line: string) => {
    if (isOver || stream.destroyed) return;
    allowance -= 1;
    if (allowance < 0) violate('more lines than anybody needs');
    else take(Buffer.from(line, 'latin1').toString());
  };
  stream.setEncoding('latin1'); // One character a byte, so that no character is cut.
  stream.on('data', (text: string) => {
    const now = performance.now();
    allowance = Math.min(mostLinesAtOnce, allowance + ((now - countedAt) / 1000) * linesASecond);
    countedAt = now;
    const lines = (unfinished + text).split('\n');
    unfinished = lines.pop() ?? '';
    for (const line of lines) hand(line);
    if (unfinished.length > longestBytes && !isOver && !stream.destroyed) violate('a line without end');
  });
}
