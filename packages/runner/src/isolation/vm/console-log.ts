const mostLines = 100;
const mostLineCharacters = 400;

/** The last lines of a guest's console. The guest may write there as much as it likes. */
export class ConsoleLog {
  readonly #lines: string[] = [];
  #line = '';

  append(chunk: Buffer): void {
    const [first = '', ...others] = chunk.toString('latin1').split(/\r?\n/);
    this.#line = (this.#line + first).slice(0, mostLineCharacters);
    for (const next of others) {
      if (this.#line !== '') this.#lines.push(this.#line);
      this.#line = next.slice(0, mostLineCharacters);
    }
    if (this.#lines.length > mostLines) this.#lines.splice(0, this.#lines.length - mostLines);
  }

  /** At most 100 lines, printable characters only. */
  get lines(): readonly string[] {
    const lines = this.#line === '' ? this.#lines : [...this.#lines, this.#line];
    return lines.map((line) => line.replaceAll(/[^\x20-\x7e\t]/g, ''));
  }

  get text(): string {
    return this.lines.join('\n');
  }
}
