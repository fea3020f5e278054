import { unresolvable } from "../framework/status.ts";
import type { Plugin } from "../framework/types.ts";
import { labelOf } from "../cache/selectors.ts";
import { claimsOf, findClaim, waitsForConsumer } from "../volumes/listers.ts";
import type { VolumeInformers } from "../volumes/listers.ts";
import { STORAGE_EVENTS } from "./volume-binding.ts";

const REFUSED = unresolvable("node(s) had no available volume zone");
/** Old and new names of the same thing; a node may carry either. */
const TOPOLOGY_LABELS: readonly (readonly string[])[] = [
  ["topology.kubernetes.io/zone", "failure-domain.beta.kubernetes.io/zone"],
  ["topology.kubernetes.io/region", "failure-domain.beta.kubernetes.io/region"],
];
const SEPARATOR = "__";

interface Place {
  readonly keys: readonly string[];
  readonly values: ReadonlySet<string>;
}

/** A volume with zone labels can be used from its zone only. */
export function volumeZone(informers: VolumeInformers): Plugin<readonly Place[]> {
  return {
    name: "VolumeZone",
    events: STORAGE_EVENTS.filter(({ resource }) => resource !== "Node").concat({
      resource: "Node",
      actions: ["Add", "UpdateNodeLabel"],
    }),
    preFilter: ({ pod }) => {
      const places: Place[] = [];
      for (const use of claimsOf(pod)) {
        const claim = findClaim(informers, pod, use);
        if (typeof claim === "string") return { rejected: unresolvable(claim) };
        const name = claim.spec?.volumeName ?? "";
        if (name === "") {
          if (waitsForConsumer(informers, claim)) continue; // its zone will be that of the node
          return { rejected: unresolvable("PersistentVolume had no name") };
        }
        const volume = informers.volumes.lister.get({ namespace: "", name });
        if (volume === undefined)
          return { rejected: unresolvable(`persistentvolume ${JSON.stringify(name)} not found`) };
        for (const keys of TOPOLOGY_LABELS) {
          for (const key of keys) {
            const value = labelOf(volume.metadata.labels ?? {}, key);
            if (value !== undefined) places.push({ keys: [key, ...keys], values: new Set(value.split(SEPARATOR)) });
          }
        }
      }
      return places.length === 0 ? "skip" : { state: places };
    },
    filter: (places, _pod, { labels }) => {
      for (const { keys, values } of places) {
        const key = keys.find((candidate) => labelOf(labels, candidate) !== undefined);
        if (key === undefined || !values.has(labels[key]!)) return REFUSED;
      }
      return undefined;
    },
  };
}
