import type { Client } from "#pkg/client/index.ts";
import type { SchedulerCache } from "../cache/cache.ts";
import type { Plugin } from "../framework/types.ts";
import { defaultBinder } from "./default-binder.ts";
import { defaultPreemption } from "./default-preemption.ts";
import type { DefaultPreemptionArgs, PreemptionDeps } from "./default-preemption.ts";
import { dynamicResources } from "./dynamic-resources.ts";
import { imageLocality } from "./image-locality.ts";
import { interPodAffinity } from "./inter-pod-affinity.ts";
import type { InterPodAffinityArgs, NamespaceLister } from "./inter-pod-affinity.ts";
import { nodeAffinity } from "./node-affinity.ts";
import type { NodeAffinityArgs } from "./node-affinity.ts";
import { nodeName } from "./node-name.ts";
import { nodePorts } from "./node-ports.ts";
import { nodeResourcesBalancedAllocation } from "./node-resources-balanced-allocation.ts";
import { nodeResourcesFit } from "./node-resources-fit.ts";
import type { NodeResourcesFitArgs } from "./node-resources-fit.ts";
import { nodeUnschedulable } from "./node-unschedulable.ts";
import { podTopologySpread } from "./pod-topology-spread.ts";
import type { DefaultSelector, PodTopologySpreadArgs } from "./pod-topology-spread.ts";
import { prioritySort } from "./priority-sort.ts";
import { schedulingGates } from "./scheduling-gates.ts";
import type { ScoredResource } from "./scored-resources.ts";
import { taintToleration } from "./taint-toleration.ts";
import { nodeVolumeLimits } from "./node-volume-limits.ts";
import { volumeBinding } from "./volume-binding.ts";
import { volumeRestrictions } from "./volume-restrictions.ts";
import { volumeZone } from "./volume-zone.ts";
import type { VolumeInformers } from "../volumes/listers.ts";
import { VolumeBinder } from "../volumes/volume-binder.ts";

/** What plugins may use of the scheduler and the cluster. */
export interface PluginHandle extends PreemptionDeps {
  readonly cache: SchedulerCache;
  readonly client: Client;
  readonly namespaces: NamespaceLister;
  readonly volumes: VolumeInformers;
  readonly defaultSelector: DefaultSelector;
}
/** Makes a plugin with its arguments from the profile's pluginConfig. */
export type PluginFactory = (handle: PluginHandle, args: unknown) => Plugin;

/** A plugin that every profile has unless it is switched off. */
export interface DefaultPlugin {
  readonly name: string;
  readonly weight?: number;
  readonly make: PluginFactory;
}

/** Arguments of VolumeBinding. */
export interface VolumeBindingArgs {
  readonly bindTimeoutSeconds?: number;
}

/** The arguments have been checked when the configuration was read. */
function withArgs<A>(make: (handle: PluginHandle, args: A) => unknown): PluginFactory {
  return (handle, args) => make(handle, (args ?? {}) as A) as Plugin;
}

/** The plugins of a profile that does not say otherwise, in order. */
export const DEFAULT_PLUGINS: readonly DefaultPlugin[] = [
  { name: "SchedulingGates", make: () => schedulingGates() },
  { name: "PrioritySort", make: () => prioritySort() },
  { name: "NodeUnschedulable", make: () => nodeUnschedulable() },
  { name: "NodeName", make: () => nodeName() },
  { name: "TaintToleration", weight: 3, make: withArgs(() => taintToleration()) },
  { name: "NodeAffinity", weight: 2, make: withArgs<NodeAffinityArgs>((_handle, args) => nodeAffinity(args)) },
  { name: "NodePorts", make: () => nodePorts() },
  {
    name: "NodeResourcesFit",
    weight: 1,
    make: withArgs<NodeResourcesFitArgs>((_handle, args) => nodeResourcesFit(args)),
  },
  { name: "VolumeRestrictions", make: ({ cache, volumes }) => volumeRestrictions(cache, volumes) as Plugin },
  { name: "NodeVolumeLimits", make: ({ volumes }) => nodeVolumeLimits(volumes) as Plugin },
  {
    name: "VolumeBinding",
    make: withArgs<VolumeBindingArgs>(({ volumes, client, clock }, { bindTimeoutSeconds = 600 }) =>
      volumeBinding(new VolumeBinder({ informers: volumes, client, clock, bindTimeoutMs: bindTimeoutSeconds * 1000 })),
    ),
  },
  { name: "VolumeZone", make: ({ volumes }) => volumeZone(volumes) as Plugin },
  {
    name: "PodTopologySpread",
    weight: 2,
    make: withArgs<PodTopologySpreadArgs>(({ cache, defaultSelector }, args) =>
      podTopologySpread(cache, defaultSelector, args),
    ),
  },
  {
    name: "InterPodAffinity",
    weight: 2,
    make: withArgs<InterPodAffinityArgs>(({ cache, namespaces }, args) => interPodAffinity(cache, namespaces, args)),
  },
  { name: "DynamicResources", make: () => dynamicResources() },
  {
    name: "DefaultPreemption",
    make: withArgs<DefaultPreemptionArgs>((handle, args) => defaultPreemption(handle, args)),
  },
  {
    name: "NodeResourcesBalancedAllocation",
    weight: 1,
    make: withArgs<{ resources?: readonly ScoredResource[] }>((_handle, args) => nodeResourcesBalancedAllocation(args)),
  },
  {
    name: "ImageLocality",
    weight: 1,
    make: withArgs(({ cache }) => imageLocality(cache.images, () => cache.nodes.length)),
  },
  { name: "DefaultBinder", make: ({ client, clock }) => defaultBinder(client, clock) },
];
