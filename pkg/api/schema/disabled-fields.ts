/** Fields whose feature gate is off: upstream's API server forgets them on write, without a word. */
import { isRecord, isShared } from "#pkg/apimachinery/index.ts";
import { type FieldEntry, jsonFields } from "#pkg/apimachinery/protobuf/index.ts";
import { protobufMessageOf } from "./definitions.ts";

const LISTS = ["ints", "bools", "strings", "versions"];
const LEASE = ["strategy", "preferredHolder"];
const MAPPINGS = ["nodeAllocatableResourceMappings"];
const PREEMPTION = ["disruptionMode", "priorityClassName", "priority"];
const GROUPS = "k8s.io.api.scheduling.v1alpha2";

/** Gates that are off by default at v1.36, with the fields they guard by message. */
const GATED_FIELDS: Readonly<Record<string, Readonly<Record<string, readonly string[]>>>> = {
  ClusterTrustBundleProjection: { "k8s.io.api.core.v1.VolumeProjection": ["clusterTrustBundle"] },
  ContainerStopSignals: {
    "k8s.io.api.core.v1.Lifecycle": ["stopSignal"],
    "k8s.io.api.core.v1.ContainerStatus": ["stopSignal"],
  },
  CoordinatedLeaderElection: {
    "k8s.io.api.coordination.v1.LeaseSpec": LEASE,
    "k8s.io.api.coordination.v1beta1.LeaseSpec": LEASE,
  },
  CrossNamespaceVolumeDataSource: { "k8s.io.api.core.v1.TypedObjectReference": ["namespace"] },
  DRAListTypeAttributes: {
    "k8s.io.api.resource.v1.DeviceAttribute": LISTS,
    "k8s.io.api.resource.v1beta1.DeviceAttribute": LISTS,
    "k8s.io.api.resource.v1beta2.DeviceAttribute": LISTS,
  },
  DRANodeAllocatableResources: {
    "k8s.io.api.core.v1.PodStatus": ["nodeAllocatableResourceClaimStatuses"],
    "k8s.io.api.resource.v1.Device": MAPPINGS,
    "k8s.io.api.resource.v1beta1.BasicDevice": MAPPINGS,
    "k8s.io.api.resource.v1beta2.Device": MAPPINGS,
  },
  DRAWorkloadResourceClaims: {
    [`${GROUPS}.PodGroupTemplate`]: ["resourceClaims"],
    [`${GROUPS}.PodGroupSpec`]: ["resourceClaims"],
    [`${GROUPS}.PodGroupStatus`]: ["resourceClaimStatuses"],
  },
  GenericWorkload: { "k8s.io.api.core.v1.PodSpec": ["schedulingGroup"] },
  ImageVolumeWithDigest: { "k8s.io.api.core.v1.VolumeMountStatus": ["volumeStatus"] },
  MaxUnavailableStatefulSet: { "k8s.io.api.apps.v1.RollingUpdateStatefulSetStrategy": ["maxUnavailable"] },
  PodCertificateRequest: { "k8s.io.api.core.v1.VolumeProjection": ["podCertificate"] },
  TopologyAwareWorkloadScheduling: {
    [`${GROUPS}.PodGroupTemplate`]: ["schedulingConstraints"],
    [`${GROUPS}.PodGroupSpec`]: ["schedulingConstraints"],
  },
  VolumeLimitScaling: { "k8s.io.api.storage.v1.CSIDriverSpec": ["preventPodSchedulingIfMissing"] },
  WorkloadAwarePreemption: { [`${GROUPS}.PodGroupTemplate`]: PREEMPTION, [`${GROUPS}.PodGroupSpec`]: PREEMPTION },
};
/** A struct that means nothing without members, and goes with its last. */
const NOTHING_WHEN_EMPTY: ReadonlySet<string> = new Set(["k8s.io.api.core.v1.Lifecycle"]);

export type Gate = keyof typeof GATED_FIELDS;
type Json = Record<string, unknown>;
interface Use {
  readonly gate: Gate;
  readonly forget: () => void;
}
/** Adds every use in a value, which `parent` holds as `key`. */
type Find = (value: unknown, parent: Json, key: string, uses: Use[]) => void;

export interface DisabledFields {
  /** Does an object have a field that a write would forget? */
  usedBy(object: Readonly<Json>): boolean;
  /** Forgets them in place, except where the old object has a field of the same gate: that one was let in before. */
  drop(object: Json, old?: Readonly<Json>): void;
}

/** Of a definition's objects, when only the gates in `enabled` are on; undefined where nothing of them is gated. */
export function disabledFieldsOf(definition: string, enabled: ReadonlySet<string>): DisabledFields | undefined {
  const members = new Finders(enabled).membersOf(protobufMessageOf(definition));
  if (members.size === 0) return undefined;
  const usesOf = (object: Json, old?: Readonly<Json>): Use[] => {
    const uses: Use[] = [];
    // What an update has not touched, and what was looked at before it was shared, has nothing to forget.
    for (const [name, find] of members)
      if (object[name] !== old?.[name] && !isShared(object[name])) find(object[name], object, name, uses);
    return uses;
  };
  return {
    usedBy: (object) => usesOf(object).length > 0,
    drop(object, old) {
      const uses = usesOf(object, old);
      if (uses.length === 0) return;
      const known = new Set(old === undefined ? [] : usesOf(old).map(({ gate }) => gate));
      for (const { gate, forget } of uses) if (!known.has(gate)) forget();
    },
  };
}

class Finders {
  readonly #gateOf = new Map<string, Gate>();
  /** By message; undefined where nothing below it is gated, or not yet known to be. */
  readonly #finders = new Map<string, Find | undefined>();

  constructor(enabled: ReadonlySet<string>) {
    for (const [gate, messages] of Object.entries(GATED_FIELDS)) {
      if (enabled.has(gate)) continue;
      for (const [message, fields] of Object.entries(messages))
        for (const field of fields) this.#gateOf.set(`${message}.${field}`, gate);
    }
  }

  membersOf(message: string): ReadonlyMap<string, Find> {
    const members = new Map<string, Find>();
    for (const field of jsonFields(message)) {
      const gate = this.#gateOf.get(`${message}.${field.name}`);
      if (gate !== undefined) members.set(field.name, gated(gate));
      else if (field.isMessage) {
        const find = this.#finderOf(field.type);
        if (find !== undefined) members.set(field.name, around(field, find));
      }
    }
    return members;
  }

  #finderOf(message: string): Find | undefined {
    if (this.#finders.has(message)) return this.#finders.get(message);
    this.#finders.set(message, undefined); // Types that contain themselves have no gated field.
    const members = this.membersOf(message);
    if (members.size === 0) return undefined;
    const vanishes = NOTHING_WHEN_EMPTY.has(message);
    const find: Find = (value, parent, key, uses) => {
      if (!isRecord(value)) return;
      const before = uses.length;
      for (const [name, inner] of members) inner(value[name], value, name, uses);
      if (!vanishes || uses.length === before) return;
      for (const [index, { gate, forget }] of uses.entries()) {
        if (index < before) continue;
        const forgetAll = () => {
          forget();
          if (Object.keys(value).length === 0) delete parent[key];
        };
        uses[index] = { gate, forget: forgetAll };
      }
    };
    this.#finders.set(message, find);
    return find;
  }
}

function gated(gate: Gate): Find {
  return (value, parent, key, uses) => {
    if (value !== undefined && value !== null) uses.push({ gate, forget: () => delete parent[key] });
  };
}

function around({ label }: FieldEntry, find: Find): Find {
  if (label === "optional") return find;
  return (value, parent, key, uses) => {
    const items = Array.isArray(value) ? value : isRecord(value) ? Object.values(value) : [];
    for (const item of items) find(item, parent, key, uses);
  };
}
