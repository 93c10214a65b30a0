import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Guest } from '../src/guest/ensure-guest.ts';
import { guestWithInit } from '../src/testing/changed-guest.ts';

const attacks = join(import.meta.dirname, 'fixtures/hostile-guest');

/** The guest with another process 1, which is the runner's enemy. What is made for it lies in `folder`. */
export function hostileGuest(guest: Guest, folder: string): Promise<Guest> {
  const sources = readdirSync(attacks).filter((name) => name.endsWith('.c'));
  return guestWithInit(
    guest,
    folder,
    sources.map((name) => join(attacks, name)),
  );
}
