import type { Acceleration } from './qemu-command.ts';
import type { Qmp } from './qmp.ts';

/** QEMU's interrupt controller counts nanoseconds, and Linux lets it divide by 16 (arch/x86/kernel/apic/apic.c). */
const emulatedTimerHertz = 1_000_000_000 / 16;
/** By so much the kernel may have mistaken its timer: whatever waits in the guest waits for so much longer. */
const toleratedError = 1.25;
const mostMistakes = 4;
/** Emulated, to init: 3 s on an idle host, 30 s on one with twelve times the work that it can do. */
const bootPatienceMilliseconds = 60_000;

export interface BootWatchOptions {
  readonly acceleration: Acceleration;
  readonly qmp: Pick<Qmp, 'execute'>;
  /** How long the first boot may take; 60 s when absent. Each that took too long gives the next one twice the time. */
  readonly patienceMilliseconds?: number | undefined;
  /** Hears why the machine will not do, however often it boots. */
  readonly givenUp: (message: string) => void;
}

/**
 * Sees to it that a machine is fit for a run when it has booted, and has it boot again where it is not. Nothing of a run is in
 * it by then. Emulated on a busy host, two things go wrong now and then:
 *
 * The kernel measures its timer for a tenth of a second, in which QEMU may have no processor. What waits in the guest then
 * waits several times as long as it should, or its processors do nothing but set timers that are over at once.
 *
 * The kernel replaces code while it runs. With more than one processor QEMU 7.2 may go on with what it translated in
 * between, for ever (one of 200 boots at a load of 20).
 */
export class BootWatch {
  readonly #options: BootWatchOptions;
  #patienceMilliseconds: number;
  #patience: NodeJS.Timeout | undefined;
  #mistakes = 0;
  /** What the guest tells until then, it told before. */
  #isBeingReset = false;
  #isOver = false;

  constructor(options: BootWatchOptions) {
    this.#options = options;
    this.#patienceMilliseconds = options.patienceMilliseconds ?? bootPatienceMilliseconds;
    this.#wait();
  }

  /** The guest has booted, and told this. Answers whether the machine is fit for a run, once. */
  hear({ timerHertz }: { readonly timerHertz: number }): boolean {
    if (this.#isOver || this.#isBeingReset) return false;
    const { acceleration, givenUp } = this.#options;
    const error = timerHertz / emulatedTimerHertz;
    if (acceleration.kind === 'kvm' || (error > 1 / toleratedError && error < toleratedError)) {
      this.close();
      return true;
    }
    this.#mistakes += 1;
    if (this.#mistakes < mostMistakes) this.#bootAgain();
    else {
      this.close();
      givenUp(
        `The kernel took its timer to be ${error.toFixed(2)} times as fast as it is, and was wrong in ${mostMistakes - 1} boots before: this host has too much to do.`,
      );
    }
    return false;
  }

  /** QEMU has done so. */
  wasReset(): void {
    // After what came from the guest at the same time.
    setImmediate(() => {
      this.#isBeingReset = false;
    });
  }

  close(): void {
    this.#isOver = true;
    clearTimeout(this.#patience);
  }

  #wait(): void {
    if (this.#options.acceleration.kind === 'kvm') return;
    clearTimeout(this.#patience);
    this.#patience = setTimeout(() => {
      this.#patienceMilliseconds *= 2;
      this.#bootAgain();
    }, this.#patienceMilliseconds);
  }

  /** As by the machine's reset button. Otherwise, and by the guest itself, to reset it ends it (`-no-reboot`). */
  #bootAgain(): void {
    this.#isBeingReset = true;
    const { qmp } = this.#options;
    const ended = () => undefined; // QEMU has: how is told elsewhere.
    qmp.execute('set-action', { reboot: 'reset' }).catch(ended);
    qmp.execute('system_reset').catch(ended);
    qmp.execute('set-action', { reboot: 'shutdown' }).catch(ended);
    this.#wait();
  }
}
