import { createHash, randomUUID } from 'node:crypto';
import { mkdir, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { harmlessLine, maximumImageProblemCharacters } from '@slipway/core';
import { z } from 'zod';
import type { StoreFolder } from './store-folder.ts';

/** Those that failed longest ago go first. */
const maximumRecords = 100;
const maximumReferenceCharacters = 512;
/** A record of the longest texts, each character of which takes six bytes in JSON, is smaller. */
const maximumRecordBytes = 16 * 1024;

/** Texts that strangers had a say in: users wrote the reference, and their registry some words of the problem. */
const preparationFailure = z.object({
  reference: z.string().transform((text) => harmlessLine(text, maximumReferenceCharacters)),
  problem: z.string().transform((text) => harmlessLine(text, maximumImageProblemCharacters)),
  failedAt: z.iso.datetime(),
});
/** An image that could not be made ready ahead of time. */
export type PreparationFailure = z.infer<typeof preparationFailure>;

/** The images of a store that could not be made ready ahead of time, and were not had since: a file for each reference. */
export class PreparationFailures {
  readonly #folder: string;

  constructor({ failures }: StoreFolder) {
    this.#folder = failures;
  }

  /** Takes the place of what was noted of the same reference. */
  async note(failure: PreparationFailure): Promise<void> {
    await mkdir(this.#folder, { recursive: true });
    const path = this.#pathOf(failure.reference);
    const partialPath = `${path}.${randomUUID()}`;
    await writeFile(partialPath, JSON.stringify(preparationFailure.parse(failure)));
    await rename(partialPath, path);
    await this.#keepNewest();
  }

  /** The image is there, or nobody wants it any more. */
  async clear(reference: string): Promise<void> {
    await rm(this.#pathOf(reference), { force: true });
  }

  async clearAll(): Promise<void> {
    await rm(this.#folder, { recursive: true, force: true });
  }

  /** The last ones first. */
  async list(): Promise<readonly PreparationFailure[]> {
    const names = (await this.#names()).filter((name) => /^[0-9a-f]{64}\.json$/.test(name));
    const failures = await Promise.all(names.map((name) => this.#read(name)));
    return failures.flatMap((each) => each ?? []).sort((a, b) => b.failedAt.localeCompare(a.failedAt));
  }

  /** Undefined when it was removed meanwhile, or is none of ours. */
  async #read(name: string): Promise<PreparationFailure | undefined> {
    const path = join(this.#folder, name);
    const size = await stat(path).then(
      (file) => file.size,
      () => Number.POSITIVE_INFINITY,
    );
    if (size > maximumRecordBytes) return undefined;
    try {
      return preparationFailure.safeParse(JSON.parse(await readFile(path, 'utf8'))).data;
    } catch {
      return undefined;
    }
  }

  /** Counts whatever is there, so that what a killed process left half-written goes one day, too. */
  async #keepNewest(): Promise<void> {
    const names = await this.#names();
    if (names.length <= maximumRecords) return;
    const files = await Promise.all(
      names.map(async (name) => {
        const path = join(this.#folder, name);
        return { path, writtenAt: (await stat(path).catch(() => undefined))?.mtimeMs ?? 0 };
      }),
    );
    files.sort((a, b) => b.writtenAt - a.writtenAt);
    for (const { path } of files.slice(maximumRecords)) await rm(path, { force: true });
  }

  async #names(): Promise<readonly string[]> {
    return readdir(this.#folder).catch(() => []);
  }

  /** References of every shape, as one file name each. */
  #pathOf(reference: string): string {
    return join(this.#folder, `${createHash('sha256').update(reference).digest('hex')}.json`);
  }
}
