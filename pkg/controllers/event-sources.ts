/**
 * Who signs a controller's events, where that is not the controller's name: dashboards and `kubectl get events
 * --field-selector source=` go by these older names.
 */
const EVENT_SOURCES: ReadonlyMap<string, string> = new Map([
  ["replicationcontroller-controller", "replication-controller"],
  ["endpoints-controller", "endpoint-controller"],
  ["endpointslice-controller", "endpoint-slice-controller"],
  ["endpointslice-mirroring-controller", "endpoint-slice-mirroring-controller"],
  ["node-ipam-controller", "cidrAllocator"],
  ["node-lifecycle-controller", "node-controller"],
  ["disruption-controller", "controllermanager"],
  ["horizontal-pod-autoscaler-controller", "horizontal-pod-autoscaler"],
  ["persistentvolume-binder-controller", "persistentvolume-controller"],
  ["persistentvolume-attach-detach-controller", "attachdetach-controller"],
  ["persistentvolume-expander-controller", "volume_expand"],
  ["ephemeral-volume-controller", "ephemeral_volume"],
  ["resourceclaim-controller", "resource_claim"],
]);

/** The `source.component` of events about what this controller did. */
export function eventSourceOf(controller: string): string {
  return EVENT_SOURCES.get(controller) ?? controller;
}
