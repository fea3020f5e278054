import { Registry, collectDefaultMetrics } from "prom-client";

/** Gives process_* and nodejs_* series in Prometheus' text format; collected from the first scrape on. */
export function createProcessMetrics(): () => Promise<string> {
  let registry: Registry | undefined;
  return () => {
    if (registry === undefined) {
      registry = new Registry();
      collectDefaultMetrics({ register: registry });
    }
    return registry.metrics();
  };
}
