const SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

/**
 * Starts something, works with it and stops it, also when the work fails or a signal ends it: what a measurement has started runs in
 * processes of its own, which would go on. A signal that comes while it starts takes effect once it can be stopped.
 */
export async function using<T>(
  start: () => Promise<T>,
  stop: (started: T) => Promise<void>,
  work: (started: T) => Promise<void>,
): Promise<void> {
  const interrupted = Promise.withResolvers<never>();
  interrupted.promise.catch(() => undefined); // it may come when nobody waits for it any more
  const onSignal = (signal: NodeJS.Signals) => interrupted.reject(new Error(`interrupted by ${signal}`));
  for (const signal of SIGNALS) process.on(signal, onSignal);
  try {
    const started = await start();
    try {
      await Promise.race([work(started), interrupted.promise]);
    } finally {
      await stop(started);
    }
  } finally {
    for (const signal of SIGNALS) process.off(signal, onSignal);
  }
}
