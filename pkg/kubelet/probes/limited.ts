import { RealClock, scheduleLimit } from "#pkg/util/index.ts";

/** Answers come over the network, in real time. */
const CLOCK = new RealClock();

/** Does `work` under a signal that ends with `signal`, or when the container has had `timeoutMs` to answer. */
export async function limited<T>(
  timeoutMs: number,
  signal: AbortSignal,
  work: (bounded: AbortSignal) => Promise<T>,
): Promise<T> {
  const late = new AbortController();
  const cancel = scheduleLimit(CLOCK, timeoutMs, () => late.abort());
  try {
    return await work(AbortSignal.any([signal, late.signal]));
  } finally {
    cancel();
  }
}
