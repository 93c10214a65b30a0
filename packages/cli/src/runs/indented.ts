/** A line that belongs below the one before it. */
export function indented(line: string): string {
  return `  ${line}`;
}
