/** Whether a program that this host runs says that a disk of the host is full, or its user's share of it. */
export function saysDiskFull(output: string): boolean {
  return /No space left on device|Disk quota exceeded/i.test(output);
}
