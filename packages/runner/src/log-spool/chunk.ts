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

/** Only a sandbox that speaks the protocol by itself has newlines inside lines: such a line is a chunk of its own. */
function goesOn(first: NewLine, { step, kind, timestamp, text }: NewLine): boolean {
  const isTheSame = first.timestamp === timestamp && first.step === step && first.kind === kind;
  return isTheSame && !first.text.includes('\n') && !text.includes('\n');
}
