/** Reads what the metrics APIs say: metrics-server's, and those of adapters for metrics of one's own. */
import { isNotFound, labelSelectorAsSelector, parseApiVersion, parseQuantity } from "#pkg/apimachinery/index.ts";
import type { CrossVersionObjectReference, MetricIdentifier } from "#pkg/api/types/autoscaling-v2.ts";
import type { Pod } from "#pkg/api/types/core-v1.ts";
import type { Client } from "#pkg/client/index.ts";
import { errorMessage } from "#pkg/util/index.ts";
import type { Sample } from "./plan.ts";

interface PodMetrics {
  readonly metadata: { readonly name: string };
  readonly timestamp: string;
  readonly window: string;
  readonly containers: { readonly name: string; readonly usage: Record<string, string> }[];
}
interface CustomValue {
  readonly describedObject: { readonly name: string };
  readonly timestamp: string;
  readonly windowSeconds?: number;
  readonly value: string;
}

const CUSTOM = "custom.metrics.k8s.io";
/** The versions that we read, the better one first. */
const CUSTOM_VERSIONS = ["v1beta2", "v1beta1"];
const EXTERNAL = "external.metrics.k8s.io";
const DEFAULT_WINDOW_MS = 60_000;

const milli = (quantity: string) => parseQuantity(quantity).toNumber() * 1000;

function selectorText(metric: MetricIdentifier): string {
  return metric.selector === undefined ? "" : labelSelectorAsSelector(metric.selector).toString();
}

/** What the API server says of a group that nobody serves. */
function why(error: unknown, what: string): string {
  return isNotFound(error) ? `the server could not find the requested resource (get ${what})` : errorMessage(error);
}

/** The metrics APIs, under one autoscaler's identity. Values are in milli-units. */
export class MetricsReader {
  readonly #client: Client;

  constructor(client: Client) {
    this.#client = client;
  }

  /** Present use of a resource by the pods of a namespace that a selector selects, or by one container of each, by pod. */
  async resource(
    of: {
      readonly namespace: string;
      readonly selector: string;
      readonly resource: string;
      readonly container: string | undefined;
    },
    signal: AbortSignal,
  ): Promise<Map<string, Sample>> {
    const { namespace, selector, resource, container } = of;
    const path = `/apis/metrics.k8s.io/v1beta1/namespaces/${namespace}/pods?labelSelector=${encodeURIComponent(selector)}`;
    const fail = (text: string) => new Error(`unable to get metrics for resource ${resource}: ${text}`);
    const list = await this.#read<{ items: PodMetrics[] }>(path, signal).catch((error: unknown) => {
      throw fail(`unable to fetch metrics from resource metrics API: ${why(error, "pods.metrics.k8s.io")}`);
    });
    if (list.items.length === 0) throw fail("no metrics returned from resource metrics API");
    const samples = new Map<string, Sample>();
    for (const { metadata, timestamp, window, containers } of list.items) {
      const counted = containers.filter(({ name }) => container === undefined || name === container);
      if (counted.length === 0 || counted.some(({ usage }) => usage[resource] === undefined)) continue;
      const value = counted.reduce((sum, { usage }) => sum + milli(usage[resource]!), 0);
      samples.set(metadata.name, { value, at: Date.parse(timestamp), windowMs: Number.parseFloat(window) * 1000 });
    }
    return samples;
  }

  /** A metric of each selected pod, by pod. */
  async pods(
    namespace: string,
    selector: string,
    metric: MetricIdentifier,
    signal: AbortSignal,
  ): Promise<Map<string, Sample>> {
    const query = `labelSelector=${encodeURIComponent(selector)}`;
    const items = await this.#custom(`namespaces/${namespace}/pods/*`, metric, query, signal);
    if (items.length === 0) throw new Error("no metrics returned from custom metrics API");
    return new Map(
      items.map(({ describedObject, timestamp, windowSeconds, value }) => [
        describedObject.name,
        {
          value: milli(value),
          at: Date.parse(timestamp),
          windowMs: windowSeconds === undefined ? DEFAULT_WINDOW_MS : windowSeconds * 1000,
        },
      ]),
    );
  }

  /** A metric of one object; `resource` is the plural name of its kind. */
  async object(
    namespace: string,
    object: CrossVersionObjectReference,
    resource: string,
    metric: MetricIdentifier,
    signal: AbortSignal,
  ): Promise<number> {
    const { group } = parseApiVersion(object.apiVersion ?? "v1");
    const kind = group === "" ? resource : `${resource}.${group}`;
    const place = object.kind === "Namespace" ? "namespaces" : `namespaces/${namespace}/${kind}`;
    const [item] = await this.#custom(`${place}/${encodeURIComponent(object.name)}`, metric, "", signal);
    if (item === undefined) throw new Error("no metrics returned from custom metrics API");
    return milli(item.value);
  }

  /** All values of a metric that belongs to no object. */
  async external(namespace: string, metric: MetricIdentifier, signal: AbortSignal): Promise<number[]> {
    const { name } = metric;
    const query = `labelSelector=${encodeURIComponent(selectorText(metric))}`;
    const path = `/apis/${EXTERNAL}/v1beta1/namespaces/${namespace}/${encodeURIComponent(name)}?${query}`;
    const list = await this.#read<{ items: { value: string }[] }>(path, signal).catch((error: unknown) => {
      throw new Error(`unable to fetch metrics from external metrics API: ${why(error, `${name}.${EXTERNAL}`)}`);
    });
    if (list.items.length === 0) throw new Error("no metrics returned from external metrics API");
    return list.items.map(({ value }) => milli(value));
  }

  async #custom(place: string, metric: MetricIdentifier, query: string, signal: AbortSignal): Promise<CustomValue[]> {
    try {
      const version = await this.#customVersion(signal);
      const text = selectorText(metric);
      const chosen = text === "" ? "" : `metricLabelSelector=${encodeURIComponent(text)}`;
      const options = [query, chosen].filter((part) => part !== "").join("&");
      const path = `/apis/${CUSTOM}/${version}/${place}/${encodeURIComponent(metric.name)}`;
      return (await this.#read<{ items: CustomValue[] }>(options === "" ? path : `${path}?${options}`, signal)).items;
    } catch (error) {
      throw new Error(`unable to fetch metrics from custom metrics API: ${errorMessage(error)}`, { cause: error });
    }
  }

  async #customVersion(signal: AbortSignal): Promise<string> {
    const absent = () => new Error(`no custom metrics API (${CUSTOM}) registered`);
    const group = await this.#read<{ versions: { version: string }[] }>(`/apis/${CUSTOM}`, signal).catch(
      (error: unknown) => {
        throw isNotFound(error) ? absent() : error;
      },
    );
    const version = CUSTOM_VERSIONS.find((known) => group.versions.some((served) => served.version === known));
    if (version === undefined) throw absent();
    return version;
  }

  #read<T>(path: string, signal: AbortSignal): Promise<T> {
    return this.#client.raw<T>("GET", path, undefined, { signal });
  }
}

/** Sum of the containers' requests in milli-units. Throws when one has none. */
export function requestOfPod(pod: Pod, resource: string, container: string | undefined): number {
  const whole = pod.spec.resources?.requests?.[resource];
  if (container === undefined && whole !== undefined) return milli(String(whole));
  let sum = 0;
  const restartable = (pod.spec.initContainers ?? []).filter(({ restartPolicy }) => restartPolicy === "Always");
  for (const { name, resources } of [...pod.spec.containers, ...restartable]) {
    if (container !== undefined && name !== container) continue;
    const request = resources?.requests?.[resource];
    if (request === undefined)
      throw new Error(`missing request for ${resource} in container ${name} of Pod ${pod.metadata.name}`);
    sum += milli(String(request));
  }
  return sum;
}
