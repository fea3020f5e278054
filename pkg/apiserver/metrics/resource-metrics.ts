import type { ResourceCache } from "#pkg/storage/cacher/index.ts";
import { type Clock, family, sleep } from "#pkg/util/index.ts";
import type { ResourceRegistry } from "../registry/resource-registry.ts";

/** A store that does not answer must not keep the rest from whoever wants to know what is wrong. */
const STORE_ANSWER_MS = 1000;

/** Prometheus text about what is stored, what the store was asked for, and what watches were sent. */
export async function renderResources(registry: ResourceRegistry, clock: Clock): Promise<string> {
  return stored(registry) + watchEvents(registry) + (await storeSize(registry, clock));
}

/** What is stored, and what was asked of the store. All versions of a kind share that. */
function stored(registry: ResourceRegistry): string {
  const unique = new Map<string, { labels: string; cache: ResourceCache }>();
  for (const { qualifiedName, definition, cache } of registry.all()) {
    const labels = `group="${definition.group}",resource="${definition.plural}"`;
    if (cache !== undefined) unique.set(qualifiedName, { labels, cache });
  }
  const [older, newer] = ["apiserver_storage_objects", "apiserver_resource_objects"];
  const objects = "Number of stored objects at the time of last check split by kind.";
  const [total, errors, duration] = [
    "etcd_requests_total",
    "etcd_request_errors_total",
    "etcd_request_duration_seconds",
  ];
  const asked = Array.from(unique.values(), ({ labels, cache }) =>
    Array.from(cache.requests.times, ([operation, times]) => ({
      all: `operation="${operation}",${labels}`,
      ...times,
    })),
  ).flat();
  return [
    family(
      older,
      "gauge",
      objects,
      Array.from(unique, ([name, { cache }]) => `${older}{resource="${name}"} ${cache.count()}`),
    ),
    family(
      newer,
      "gauge",
      objects,
      Array.from(unique.values(), ({ labels, cache }) => `${newer}{${labels}} ${cache.count()}`),
    ),
    family(
      total,
      "counter",
      "Etcd request counts for each operation and object type.",
      asked.map(({ all, seconds }) => `${total}{${all}} ${seconds.count}`),
    ),
    family(
      errors,
      "counter",
      "Etcd failed request counts for each operation and object type.",
      asked.flatMap((own) => (own.errors === 0 ? [] : [`${errors}{${own.all}} ${own.errors}`])),
    ),
    family(
      duration,
      "histogram",
      "Etcd request latency in seconds for each operation and object type.",
      asked.flatMap(({ all, seconds }) => seconds.lines(duration, all)),
    ),
  ].join("");
}

/** What watches were sent, by resource and version. */
function watchEvents(registry: ResourceRegistry): string {
  const [events, sizes] = ["apiserver_watch_events_total", "apiserver_watch_events_sizes"];
  const sent = Array.from(registry.all(), ({ definition: { group, version, plural }, sentEvents }) => ({
    labels: `group="${group}",version="${version}",resource="${plural}"`,
    sentEvents,
  })).filter(({ sentEvents }) => sentEvents.count > 0);
  return [
    family(
      events,
      "counter",
      "Number of events sent in watch clients",
      sent.map(({ labels, sentEvents }) => `${events}{${labels}} ${sentEvents.count}`),
    ),
    family(
      sizes,
      "histogram",
      "Watch event size distribution in bytes",
      sent.flatMap(({ labels, sentEvents }) => sentEvents.lines(sizes, labels)),
    ),
  ].join("");
}

async function storeSize(registry: ResourceRegistry, clock: Clock): Promise<string> {
  const name = "apiserver_storage_size_bytes";
  const help = "Size of the storage database file physically allocated in bytes.";
  const answered = new AbortController();
  const late = sleep(clock, STORE_ANSWER_MS, answered.signal).catch(() => undefined);
  const bytes = await Promise.race([registry.storedBytes().catch(() => undefined), late]);
  answered.abort();
  return family(name, "gauge", help, bytes === undefined ? [] : [`${name}{storage_cluster_id="etcd-0"} ${bytes}`]);
}
