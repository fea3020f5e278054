/** Runs `callback` when the signal aborts (at once if it has); returns a function that removes the listener. */
export function onAbort(signal: AbortSignal | undefined, callback: () => void): () => void {
  if (signal === undefined) return () => undefined;
  if (signal.aborted) {
    callback();
    return () => undefined;
  }
  signal.addEventListener("abort", callback, { once: true });
  return () => signal.removeEventListener("abort", callback);
}

const NOTHING = () => undefined;

/**
 * The same for many callbacks on few signals: one listener per signal, since adding and removing listeners takes time
 * proportional to how many there are.
 */
export class AbortFanout {
  readonly #callbacks = new Map<AbortSignal, Set<() => void>>();
  readonly #listeners = new Map<AbortSignal, () => void>();

  on(signal: AbortSignal | undefined, callback: () => void): () => void {
    if (signal === undefined) return NOTHING;
    if (signal.aborted) {
      callback();
      return NOTHING;
    }
    let callbacks = this.#callbacks.get(signal);
    if (callbacks === undefined) callbacks = this.#listen(signal);
    callbacks.add(callback);
    const added = callbacks;
    return () => {
      if (added.delete(callback) && added.size === 0) this.#unlisten(signal);
    };
  }

  #listen(signal: AbortSignal): Set<() => void> {
    const callbacks = new Set<() => void>();
    const listener = () => {
      this.#unlisten(signal);
      for (const callback of callbacks) callback();
    };
    this.#callbacks.set(signal, callbacks);
    this.#listeners.set(signal, listener);
    signal.addEventListener("abort", listener, { once: true });
    return callbacks;
  }
  #unlisten(signal: AbortSignal): void {
    const listener = this.#listeners.get(signal);
    if (listener !== undefined) signal.removeEventListener("abort", listener);
    this.#callbacks.delete(signal);
    this.#listeners.delete(signal);
  }
}
