import type { AnyObject } from "#pkg/apimachinery/index.ts";
import {
  namespaces as namespacesRef,
  nodes as nodesRef,
  podDisruptionBudgets,
  pods as podsRef,
  replicaSets,
  replicationControllers,
  services as servicesRef,
  statefulSets,
} from "#pkg/api/refs.ts";
import type { Namespace } from "#pkg/api/types/core-v1.ts";
import type { Client, InformerFactory, Lister, SeriesRecorder, SharedInformer } from "#pkg/client/index.ts";
import type { Clock, Logger, Random } from "#pkg/util/index.ts";
import { SchedulerCache } from "./cache/cache.ts";
import type { PodInfo } from "./cache/pod-info.ts";
import { NO_LABELS } from "./cache/selectors.ts";
import { ClusterWatch } from "./cluster-watch.ts";
import type { WatchedInformers } from "./cluster-watch.ts";
import { DEFAULT_CONFIGURATION, pluginsOf } from "./config.ts";
import type { SchedulerConfiguration } from "./config.ts";
import { NO_EXTENDERS } from "./extenders.ts";
import { HttpExtenders } from "./http-extenders.ts";
import { makeProfile, preEnqueue } from "./framework/profile.ts";
import type { Profile } from "./framework/profile.ts";
import type { ClusterEvent, EventResource } from "./framework/types.ts";
import { SchedulerMetrics } from "./metrics.ts";
import { PermitWaits } from "./permit-waits.ts";
import { defaultSelectorOf } from "./plugins/default-selector.ts";
import type { NamespaceLister } from "./plugins/inter-pod-affinity.ts";
import type { PluginFactory, PluginHandle } from "./plugins/registry.ts";
import { Nominator } from "./queue/nominator.ts";
import { isAwaited, SchedulingQueue } from "./queue/scheduling-queue.ts";
import { Scheduler } from "./scheduler.ts";
import { volumeInformers } from "./volumes/listers.ts";
import type { VolumeInformers } from "./volumes/listers.ts";

/** What a scheduler is made of. */
export interface SchedulerDeps {
  readonly client: Client;
  readonly informers: InformerFactory;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly recorder: SeriesRecorder;
  /** Profiles, plugins, extenders and timings; upstream's defaults without it. */
  readonly config?: SchedulerConfiguration;
  /** Out-of-tree plugins by name; a profile of the configuration switches them on. */
  readonly plugins?: ReadonlyMap<string, PluginFactory>;
}

/** Puts a scheduler together. Its informers are made here, so create it before the factory starts. */
export function createScheduler(deps: SchedulerDeps): Scheduler {
  const { informers, clock } = deps;
  const pods = informers.informer(podsRef);
  const nodes = informers.informer(nodesRef);
  const namespaces = informers.informer(namespacesRef);
  const services = informers.informer(servicesRef);
  const owners = {
    replicationControllers: informers.informer(replicationControllers),
    replicaSets: informers.informer(replicaSets),
    statefulSets: informers.informer(statefulSets),
  };
  const cache = new SchedulerCache();
  const defaultSelector = defaultSelectorOf({
    services,
    replicationControllers: owners.replicationControllers.lister,
    replicaSets: owners.replicaSets.lister,
    statefulSets: owners.statefulSets.lister,
  });
  const nominator = new Nominator();
  const metrics = new SchedulerMetrics();
  const waits = new PermitWaits(clock);
  const config = deps.config ?? DEFAULT_CONFIGURATION;
  const extenders = config.extenders.length === 0 ? NO_EXTENDERS : new HttpExtenders(config.extenders, deps);
  const budgets = informers.informer(podDisruptionBudgets);
  const volumes = volumeInformers(informers);
  const handle: PluginHandle = {
    ...deps,
    volumes,
    cache,
    nominator,
    waits,
    extenders,
    metrics,
    namespaces: namespaceLister(namespaces.lister),
    defaultSelector,
    budgets: () => budgets.lister.list(),
  };
  const profiles = new Map<string, Profile>();
  for (const profile of config.profiles) {
    const enabled = pluginsOf(profile, deps.plugins ?? new Map(), handle);
    const percentage = profile.percentageOfNodesToScore ?? config.percentageOfNodesToScore;
    profiles.set(profile.schedulerName, makeProfile(profile.schedulerName, enabled, percentage));
  }
  const first = profiles.values().next().value!;
  const profileOf = ({ schedulerName }: PodInfo) => profiles.get(schedulerName) ?? first;
  const queue = new SchedulingQueue({
    clock,
    initialBackoffMs: config.podInitialBackoffSeconds * 1000,
    maxBackoffMs: config.podMaxBackoffSeconds * 1000,
    compare: first.compare,
    preEnqueue: (pod) => preEnqueue(profileOf(pod), pod),
    awaits: awaitedBy([...profiles.values()]),
    registrationsOf: (pod) => profileOf(pod).registrations,
    onQueued: (name, event) => metrics.queued(name, event),
  });
  metrics.observe(cache, queue);
  const others = [namespaces, services, budgets, ...Object.values(owners)] as readonly SharedInformer<AnyObject>[];
  const watch = new ClusterWatch({
    informers: { pods, nodes, others, events: storageEvents(volumes) },
    cache,
    queue,
    nominator,
    isOurs: (schedulerName) => profiles.has(schedulerName),
  });
  return new Scheduler({ ...deps, cache, queue, nominator, profiles, extenders, waits, watch, metrics });
}

/** By plugin name, over all profiles. A plugin that registers nothing waits for everything. */
function awaitedBy(profiles: readonly Profile[]): (plugin: string, event: ClusterEvent) => boolean {
  return (plugin, event) =>
    event.resource === "*" ||
    profiles.some(({ registrations }) => {
      const registered = registrations.get(plugin);
      return registered === undefined || registered.some((registration) => isAwaited(registration, event));
    });
}

function storageEvents(volumes: VolumeInformers): WatchedInformers["events"] {
  const of = <T extends AnyObject>(resource: EventResource, informer: SharedInformer<T>) => ({
    resource,
    informer: informer as unknown as SharedInformer<AnyObject>,
  });
  return [
    of("PersistentVolumeClaim", volumes.claims),
    of("PersistentVolume", volumes.volumes),
    of("StorageClass", volumes.classes),
    of("CSINode", volumes.csiNodes),
    of("CSIDriver", volumes.csiDrivers),
    of("CSIStorageCapacity", volumes.capacities),
    of("VolumeAttachment", volumes.attachments),
  ];
}

function namespaceLister(lister: Lister<Namespace>): NamespaceLister {
  return {
    labelsOf: (namespace) => lister.get({ namespace: "", name: namespace })?.metadata.labels ?? NO_LABELS,
    matching: (matcher) =>
      lister
        .list()
        .filter(({ metadata }) => matcher.matches(metadata.labels ?? NO_LABELS))
        .map(({ metadata }) => metadata.name),
  };
}
