import { countMemoryKills, memoryKillsInKernelLog } from '../kernel-log.ts';

/**
 * Tells whether the kernel of the host killed a process for want of memory. Where its log cannot be read, a kill that
 * it counted since the last look is taken for that one.
 */
export class HostMemoryWatch {
  #kills = countMemoryKills();

  /** Kills up to now were others'. To be called as long as the process lives. */
  look(): void {
    this.#kills = countMemoryKills();
  }

  /** Whether the process, which was ended by SIGKILL, was killed for want of memory. */
  killed(processId: number | undefined): boolean {
    if (countMemoryKills() === this.#kills) return false;
    const logged = memoryKillsInKernelLog();
    return logged.length === 0 || logged.some((kill) => kill.processId === processId);
  }
}
