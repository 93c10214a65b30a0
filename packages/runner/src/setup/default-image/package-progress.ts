import type { SetUpProgress } from '../set-up-options.ts';

/**
 * How far apt and dpkg are, by the lines that they print: each round of apt says how many packages it is about, and dpkg
 * names each twice. mmdebstrap has two rounds, the second of which nobody can count before the first has ended.
 */
export class PackageProgress {
  #total = 0;
  #unpacked = 0;
  #setUp = 0;

  /** Undefined for a line that tells nothing new. */
  read(line: string): SetUpProgress | undefined {
    const [, announced] = /, (\d+) newly installed, /.exec(line) ?? [];
    if (announced !== undefined) {
      this.#total = Number(announced);
      this.#unpacked = 0;
      this.#setUp = 0;
      return undefined;
    }
    const of = { total: this.#total, unit: 'packages' } as const;
    if (/^Unpacking \S+ \(/.test(line)) {
      this.#unpacked += 1;
      return { stage: 'Unpacking Debian', done: this.#unpacked, ...of };
    }
    if (/^Setting up \S+ \(/.test(line)) {
      this.#setUp += 1;
      return { stage: 'Setting up Debian', done: this.#setUp, ...of };
    }
    return undefined;
  }
}
