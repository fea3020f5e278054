import { storageClassNameOf } from "#pkg/api/rules/index.ts";
import { keyString } from "#pkg/apimachinery/index.ts";
import type { Pod } from "#pkg/api/types/core-v1.ts";
import type { NodeInfo } from "../cache/node-info.ts";
import { unresolvable, unschedulable } from "../framework/status.ts";
import type { Plugin } from "../framework/types.ts";
import { BY_NODE, claimsOf, findClaim } from "../volumes/listers.ts";
import type { VolumeInformers } from "../volumes/listers.ts";

const EXCEEDED = unschedulable("node(s) exceed max volume count");

/** CSI drivers say in CSINode how many of their volumes a node can have. */
export function nodeVolumeLimits(informers: VolumeInformers): Plugin<ReadonlyMap<string, string>> {
  return {
    name: "NodeVolumeLimits",
    events: [
      { resource: "CSINode", actions: ["Add", "Update"] },
      { resource: "AssignedPod", actions: ["Delete"], hint: (_pod, { object }) => claimsOf(object as Pod).length > 0 },
      { resource: "PersistentVolumeClaim", actions: ["Add", "Update"] },
      { resource: "VolumeAttachment", actions: ["Delete"] },
    ],
    preFilter: ({ pod }) => {
      const uses = claimsOf(pod);
      if (uses.length === 0) return "skip";
      for (const use of uses) {
        const claim = findClaim(informers, pod, use);
        if (typeof claim === "string") return { rejected: unresolvable(claim) };
      }
      const wanted = csiVolumes(informers, pod);
      return wanted.size === 0 ? "skip" : { state: wanted };
    },
    filter: (wanted, _pod, node) => {
      const drivers = informers.csiNodes.lister.get({ namespace: "", name: node.name })?.spec.drivers ?? [];
      if (drivers.every(({ allocatable }) => allocatable?.count === undefined)) return undefined;
      const present = volumesOn(informers, node);
      for (const { name, allocatable } of drivers) {
        if (allocatable?.count === undefined) continue;
        const fresh = [...wanted].filter(([volume, driver]) => driver === name && !present.has(volume)).length;
        if (fresh === 0) continue;
        const there = [...present.values()].filter((driver) => driver === name).length;
        if (there + fresh > allocatable.count) return EXCEEDED;
      }
      return undefined;
    },
  };
}

/** The pod's CSI volumes, each with its driver; those still to be made are known by their claims. */
function csiVolumes(informers: VolumeInformers, pod: Pod): Map<string, string> {
  const volumes = new Map<string, string>();
  for (const { key } of claimsOf(pod)) {
    const claim = informers.claims.lister.get(key);
    if (claim === undefined) continue;
    const name = claim.spec?.volumeName ?? "";
    const csi = informers.volumes.lister.get({ namespace: "", name })?.spec?.csi;
    if (csi !== undefined) volumes.set(`${csi.driver}/${csi.volumeHandle}`, csi.driver);
    else if (name === "") {
      const driver = informers.classes.lister.get({ namespace: "", name: storageClassNameOf(claim) })?.provisioner;
      if (driver !== undefined) volumes.set(`${driver}-${keyString(key)}`, driver);
    }
  }
  return volumes;
}

/** What pods on the node use, and what is attached to it for other reasons. */
function volumesOn(informers: VolumeInformers, node: NodeInfo): Map<string, string> {
  const present = new Map<string, string>();
  for (const { pod } of node.pods.values()) {
    for (const [volume, driver] of csiVolumes(informers, pod)) present.set(volume, driver);
  }
  for (const { spec } of informers.attachments.lister.byIndex(BY_NODE, node.name)) {
    const csi = informers.volumes.lister.get({ namespace: "", name: spec.source.persistentVolumeName ?? "" })?.spec
      ?.csi;
    if (csi !== undefined) present.set(`${csi.driver}/${csi.volumeHandle}`, csi.driver);
  }
  return present;
}
