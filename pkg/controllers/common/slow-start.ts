/**
 * Runs `count` calls in batches of 1, 2, 4, …: when everything fails for the same reason (quota), few requests are
 * wasted. Stops after the first batch with a failure.
 */
export async function slowStartBatch(
  count: number,
  call: (index: number) => Promise<void>,
  initialBatchSize = 1,
): Promise<{ succeeded: number; error: unknown }> {
  let succeeded = 0;
  let started = 0;
  for (let size = Math.min(count, initialBatchSize); size > 0; size = Math.min(2 * size, count - started)) {
    const first = started;
    started += size;
    const results = await Promise.allSettled(Array.from({ length: size }, (_, i) => call(first + i)));
    let error: unknown;
    for (const result of results) {
      if (result.status === "fulfilled") succeeded++;
      else error ??= result.reason;
    }
    if (error !== undefined) return { succeeded, error };
  }
  return { succeeded, error: undefined };
}

/** All calls at once, at most `limit` under way; returns the first error after every call has ended. */
export async function inParallel<T>(
  items: readonly T[],
  call: (item: T) => Promise<void>,
  limit = 50,
): Promise<unknown> {
  let next = 0;
  let error: unknown;
  const worker = async () => {
    while (next < items.length) {
      const item = items[next++]!;
      try {
        await call(item);
      } catch (cause) {
        error ??= cause;
      }
    }
  };
  await Promise.all(Array.from({ length: Math.min(limit, items.length) }, worker));
  return error;
}
