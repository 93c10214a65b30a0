/** What was seen of one thing over a stretch of time; undefined where nothing was. */
export interface Stretch {
  readonly seconds: number;
  readonly value: number | undefined;
}

const heights = '▁▂▃▄▅▆▇█';
const nothingSeen = ' ';

/**
 * One line that shows values over time, each column as long as the others: the highest value that was seen within it, as
 * a part of the highest of all. There are at most `mostColumns` columns, and none is shorter than a second.
 */
export function sparkline(stretches: readonly Stretch[], mostColumns: number): string {
  const columns = columnsOf(stretches, mostColumns);
  const highest = Math.max(0, ...columns.map((value) => value ?? 0));
  return columns.map((value) => (value === undefined ? nothingSeen : block(value, highest))).join('');
}

/** Length of a column of such a line. */
export function columnSeconds(stretches: readonly Stretch[], mostColumns: number): number {
  const seconds = stretches.reduce((sum, stretch) => sum + stretch.seconds, 0);
  return Math.max(1, seconds / mostColumns);
}

function columnsOf(stretches: readonly Stretch[], mostColumns: number): (number | undefined)[] {
  const seconds = columnSeconds(stretches, mostColumns);
  const columns: (number | undefined)[] = [];
  let began = 0;
  for (const stretch of stretches) {
    const ended = began + stretch.seconds;
    for (
      let column = Math.floor(began / seconds);
      column < Math.min(ended / seconds, mostColumns);
      column += 1
    ) {
      const before = columns[column];
      columns[column] =
        before === undefined || stretch.value === undefined
          ? (stretch.value ?? before)
          : Math.max(before, stretch.value);
    }
    began = ended;
  }
  return columns;
}

function block(value: number, highest: number): string {
  const height = highest === 0 ? 0 : Math.ceil((value / highest) * heights.length) - 1;
  return heights.charAt(Math.max(0, height));
}
