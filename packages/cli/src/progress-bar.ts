import { harmlessLine } from '@slipway/core';

const cells = 30;
/** Where nobody sees the line change, a new one is written this seldom. */
const lineStep = 0.1;
const usualColumns = 80;
const longestLine = 1000;

/** What is counted; bytes are shown as MiB. */
export type ProgressUnit = 'bytes' | 'layers' | 'packages';

/** Of a stream such as `process.stderr`. */
export interface ProgressStream {
  readonly isTTY?: boolean;
  /** 0, or absent, where nobody knows. */
  readonly columns?: number;
  write(text: string): unknown;
}

/** A line that shows how far something is: one that changes on a terminal, some lines elsewhere. */
export class ProgressBar {
  readonly #stream: ProgressStream;
  #stage = '';
  #toldPart = 0;
  #hasLine = false;

  constructor(stream: ProgressStream) {
    this.#stream = stream;
  }

  /** What goes on where nothing can be counted, in the words of whoever does it. */
  say(line: string): void {
    const text = harmlessLine(line, longestLine);
    if (this.#stream.isTTY) this.#change(text);
    else this.#stream.write(`${text}\n`);
  }

  /** `total`: undefined where nobody knows how much there is. */
  show(stage: string, done: number, total: number | undefined, unit: ProgressUnit = 'bytes'): void {
    const part = total === undefined || total === 0 ? undefined : Math.min(1, done / total);
    if (this.#stream.isTTY) {
      this.#change([stage, ...bar(part), amount(done, total, unit)].join(' '));
      return;
    }
    const isNews = stage !== this.#stage || (part ?? 0) >= this.#toldPart + lineStep;
    if (!isNews) return;
    this.#stage = stage;
    this.#toldPart = part ?? 0;
    this.#stream.write(`${stage} ${amount(done, total, unit)}\n`);
  }

  end(): void {
    if (this.#hasLine) this.#stream.write('\r\x1b[K');
    this.#hasLine = false;
  }

  /** A line that is longer than the terminal is wide could not be taken back. */
  #change(line: string): void {
    this.#stream.write(`\r\x1b[K${line.slice(0, (this.#stream.columns || usualColumns) - 1)}`);
    this.#hasLine = true;
  }
}

function bar(part: number | undefined): string[] {
  if (part === undefined) return [];
  const full = Math.round(part * cells);
  return [`[${'='.repeat(full)}${' '.repeat(cells - full)}]`, `${Math.floor(part * 100)} %`.padStart(5)];
}

function amount(done: number, total: number | undefined, unit: ProgressUnit): string {
  if (unit === 'bytes') return total === undefined ? inMiB(done) : `${inMiB(done)} of ${inMiB(total)}`;
  return total === undefined ? `${done} ${unit}` : `${done} of ${total} ${unit}`;
}

export function inMiB(bytes: number): string {
  return `${(bytes / 1024 ** 2).toFixed(1)} MiB`;
}
