/** Reads the resource use of pods from the metrics API, as metrics-server serves it. */
import { isNotFound, parseQuantity } from "#pkg/apimachinery/index.ts";
import type { Pod } from "#pkg/api/types/core-v1.ts";
import type { Client } from "#pkg/client/index.ts";
import { errorMessage } from "../common/errors.ts";
import type { Sample } from "./plan.ts";

interface PodMetrics {
  readonly metadata: { readonly name: string };
  readonly timestamp: string;
  readonly window: string;
  readonly containers: { readonly name: string; readonly usage: Record<string, string> }[];
}

/** Why an HPA cannot do its work now; becomes a condition and an event. */
export class ScalingError extends Error {
  readonly condition: "AbleToScale" | "ScalingActive";
  readonly reason: string;
  constructor(condition: "AbleToScale" | "ScalingActive", reason: string, message: string) {
    super(message);
    this.condition = condition;
    this.reason = reason;
  }
}

/** Present use of a resource by the pods of a namespace that a selector selects, or by one container of each, by pod. */
export async function readSamples(
  client: Client,
  of: { readonly namespace: string; readonly selector: string; readonly resource: string; readonly container?: string },
  signal: AbortSignal,
): Promise<Map<string, Sample>> {
  const { namespace, selector, resource, container } = of;
  const path = `/apis/metrics.k8s.io/v1beta1/namespaces/${namespace}/pods?labelSelector=${encodeURIComponent(selector)}`;
  let list: { items: PodMetrics[] };
  try {
    list = await client.raw<{ items: PodMetrics[] }>("GET", path, undefined, { signal });
  } catch (error) {
    const why = isNotFound(error)
      ? "the server could not find the requested resource (get pods.metrics.k8s.io)"
      : errorMessage(error);
    throw new ScalingError(
      "ScalingActive",
      "FailedGetResourceMetric",
      `the HPA was unable to compute the replica count: unable to get metrics for resource ${resource}: unable to fetch metrics from resource metrics API: ${why}`,
    );
  }
  const samples = new Map<string, Sample>();
  for (const { metadata, timestamp, window, containers } of list.items) {
    const counted = containers.filter(({ name }) => container === undefined || name === container);
    if (counted.length === 0 || counted.some(({ usage }) => usage[resource] === undefined)) continue;
    const value = counted.reduce((sum, { usage }) => sum + parseQuantity(usage[resource]!).toNumber() * 1000, 0);
    samples.set(metadata.name, { value, at: Date.parse(timestamp), windowMs: Number.parseFloat(window) * 1000 });
  }
  return samples;
}

/** Sum of the containers' requests in milli-units; undefined when one has none. */
export function requestOfPod(pod: Pod, resource: string, container: string | undefined): number | undefined {
  let sum = 0;
  for (const { name, resources } of pod.spec.containers) {
    if (container !== undefined && name !== container) continue;
    const request = resources?.requests?.[resource];
    if (request === undefined) return undefined;
    sum += parseQuantity(request).toNumber() * 1000;
  }
  return sum;
}
