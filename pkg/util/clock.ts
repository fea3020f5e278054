/**
 * Time as an explicit dependency. Only `cmd/` and tests construct one; nothing else touches Date or timers.
 * A simulated cluster runs on a clock of its own, so code that waits must wait through this interface.
 */
export interface Clock {
  /** Milliseconds since the Unix epoch. */
  now(): number;
  /** Monotonic milliseconds, for durations. */
  monotonic(): number;
  /** Calls `callback` once after `delayMs`; returns a function that cancels it (harmless when it has run). */
  schedule(delayMs: number, callback: () => void): () => void;
}

/** The machine's time. */
export class RealClock implements Clock {
  now(): number {
    return Date.now();
  }
  monotonic(): number {
    return performance.now();
  }
  schedule(delayMs: number, callback: () => void): () => void {
    // setTimeout fires at once above 2^31-1 ms; such delays (24 days) are re-armed by level-triggered callers.
    const timer = setTimeout(callback, Math.min(Math.max(delayMs, 0), 2 ** 31 - 1));
    return () => clearTimeout(timer);
  }
}

/** A process that was kept from running counts no more than this of the time it missed. */
const LIMIT_STEP_MS = 100;

/**
 * Like `schedule`, for limits on the time that others take to answer. On a busy machine this process may be kept from
 * running until the limit has passed, and would call it before it reads an answer that has long been there: so the time
 * is counted in short steps, between which answers are read.
 */
export function scheduleLimit(clock: Clock, limitMs: number, callback: () => void): () => void {
  let cancel: () => void;
  const step = (leftMs: number): void => {
    const takeMs = Math.min(leftMs, LIMIT_STEP_MS);
    cancel = clock.schedule(takeMs, () => (leftMs > takeMs ? step(leftMs - takeMs) : callback()));
  };
  step(limitMs);
  return () => cancel();
}

/** Resolves after `delayMs`; rejects with the signal's reason when aborted first, leaving no timer behind. */
export function sleep(clock: Clock, delayMs: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted === true) {
      reject(signal.reason);
      return;
    }
    const onAbort = () => {
      cancel();
      reject(signal?.reason);
    };
    const cancel = clock.schedule(delayMs, () => {
      signal?.removeEventListener("abort", onAbort);
      resolve();
    });
    signal?.addEventListener("abort", onAbort, { once: true });
  });
}

/** As `sleep`, but an abort merely ends it early: for loops that look at the signal next. */
export function pause(clock: Clock, delayMs: number, signal?: AbortSignal): Promise<void> {
  return sleep(clock, delayMs, signal).catch(() => undefined); // it rejects for nothing but an abort
}

/** Memo: what is written in the same second has the same time. */
let lastSecond = Number.NaN;
let lastText = "";

/** RFC 3339 in whole seconds: the wire form of metav1.Time. */
export function formatTime(epochMs: number): string {
  const second = Math.floor(epochMs / 1000);
  if (second !== lastSecond) {
    lastText = `${new Date(epochMs).toISOString().slice(0, 19)}Z`;
    lastSecond = second;
  }
  return lastText;
}

/** RFC 3339 with microseconds: the wire form of metav1.MicroTime. */
export function formatMicroTime(epochMs: number): string {
  return `${new Date(epochMs).toISOString().slice(0, 23)}000Z`;
}

/** Epoch milliseconds of a time in an object; undefined where the field is absent or null. */
export function parseTime(text: string | null | undefined): number | undefined {
  return text === undefined || text === null ? undefined : Date.parse(text);
}
