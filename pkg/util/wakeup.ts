/** Lets one loop wait until something has changed; a change while nobody waits is not lost. */
export class Wakeup {
  #pending = false;
  #wake: (() => void) | undefined;

  /** Something has changed. */
  notify(): void {
    this.#pending = true;
    this.#wake?.();
  }

  /** Resolves at the next change, at once when one has come since the last wait, or when the signal aborts. */
  wait(signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const leave = () => {
        this.#wake = undefined;
        this.#pending = false;
        signal.removeEventListener("abort", leave);
        resolve();
      };
      if (this.#pending || signal.aborted) {
        leave();
        return;
      }
      this.#wake = leave;
      signal.addEventListener("abort", leave, { once: true });
    });
  }
}
