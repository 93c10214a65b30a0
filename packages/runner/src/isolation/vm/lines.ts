import type { Duplex } from 'node:stream';

/**
 * Hands over what comes from a stream line by line, as UTF-8. What comes may be hostile: a line that grows beyond
 * `longestBytes` is handed over as undefined, and after the stream was destroyed nothing is.
 */
export function readLines(
  stream: Duplex,
  longestBytes: number,
  take: (line: string | undefined) => void,
): void {
  let unfinished = '';
  const hand = (line: string | undefined) => {
    if (!stream.destroyed) take(line);
  };
  stream.setEncoding('latin1'); // One character a byte, so that no character is cut.
  stream.on('data', (text: string) => {
    const lines = (unfinished + text).split('\n');
    unfinished = lines.pop() ?? '';
    for (const line of lines) hand(Buffer.from(line, 'latin1').toString());
    if (unfinished.length > longestBytes) hand(undefined);
  });
}
