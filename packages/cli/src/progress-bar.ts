const cells = 30;
/** Where nobody sees the line change, a new one is written this seldom. */
const lineStep = 0.1;

/** A line that shows how far something is: one that changes on a terminal, some lines elsewhere. */
export class ProgressBar {
  readonly #stream: NodeJS.WriteStream;
  #stage = '';
  #toldPart = 0;
  #hasLine = false;

  constructor(stream: NodeJS.WriteStream) {
    this.#stream = stream;
  }

  /** `total`: undefined where nobody knows how much there is. */
  show(stage: string, done: number, total: number | undefined): void {
    const part = total === undefined || total === 0 ? undefined : Math.min(1, done / total);
    if (this.#stream.isTTY) {
      this.#stream.write(`\r\x1b[K${stage} ${bar(part)} ${amount(done, total)}`);
      this.#hasLine = true;
      return;
    }
    const isNews = stage !== this.#stage || (part ?? 0) >= this.#toldPart + lineStep;
    if (!isNews) return;
    this.#stage = stage;
    this.#toldPart = part ?? 0;
    this.#stream.write(`${stage} ${amount(done, total)}\n`);
  }

  end(): void {
    if (this.#hasLine) this.#stream.write('\r\x1b[K');
    this.#hasLine = false;
  }
}

function bar(part: number | undefined): string {
  if (part === undefined) return '';
  const full = Math.round(part * cells);
  return `[${'='.repeat(full)}${' '.repeat(cells - full)}] ${String(Math.floor(part * 100)).padStart(3)} %`;
}

function amount(done: number, total: number | undefined): string {
  return total === undefined ? inMiB(done) : `${inMiB(done)} of ${inMiB(total)}`;
}

export function inMiB(bytes: number): string {
  return `${(bytes / 1024 ** 2).toFixed(1)} MiB`;
}
