import { type LogChunk, type LogLine, maximumChunkLines } from '@slipway/core';

/** A line as it enters the spool, which numbers it. */
export type NewLine = Omit<LogLine, 'sequence'>;

/** Lines of more than so many characters are no chunk together: who reads a few lines of one reads it as a whole. */
const mostCharacters = 32 * 1024;

/** Lines as chunks of those that were told at once; `firstSequence` is the number of the first. */
export function chunksOf(lines: readonly NewLine[], firstSequence: number): LogChunk[] {
  const groups: { readonly first: NewLine; readonly texts: string[] }[] = [];
  let characters = 0;
  for (const line of lines) {
    const group = groups.at(-1);
    characters += line.text.length;
    const fits = characters <= mostCharacters && group && group.texts.length < maximumChunkLines;
    if (fits && goesOn(group.first, line)) {
      group.texts.push(line.text);
    } else {
      groups.push({ first: line, texts: [line.text] });
      characters = line.text.length;
    }
  }
  let sequence = firstSequence;
  return groups.map(({ first, texts }) => {
    const chunk = { sequence, lineCount: texts.length, ...first, text: texts.join('\n') };
    sequence += texts.length;
    return chunk;
  });
}

function goesOn(first: NewLine, line: NewLine): boolean {
  const isTheSame =
    first.timestamp === line.timestamp && first.step === line.step && first.kind === line.kind;
  return isTheSame && !isAlone(first) && !isAlone(line);
}

/** A chunk of its own; only a sandbox that speaks the protocol by itself has newlines inside lines. */
function isAlone({ piece, text }: NewLine): boolean {
  return piece !== undefined || text.includes('\n');
}
