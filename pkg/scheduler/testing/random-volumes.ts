/** A random set of claims, volumes and classes for differential tests, held in plain lists. */
import type { AnyObject } from "#pkg/apimachinery/index.ts";
import type { PersistentVolume, PersistentVolumeClaim, Volume } from "#pkg/api/types/core-v1.ts";
import type { CSINode, StorageClass } from "#pkg/api/types/storage-v1.ts";
import type { SharedInformer } from "#pkg/client/index.ts";
import { BY_CLASS } from "../volumes/listers.ts";
import type { VolumeInformers } from "../volumes/listers.ts";
import { stored } from "./offline.ts";
import type { Draw } from "./random-cluster.ts";

export const DRIVER = "csi.example.com";

export interface Storage {
  readonly claims: readonly PersistentVolumeClaim[];
  readonly volumes: readonly PersistentVolume[];
  readonly classes: readonly StorageClass[];
  readonly csiNodes: readonly CSINode[];
}
export const NO_STORAGE: Storage = { claims: [], volumes: [], classes: [], csiNodes: [] };

const CLAIMS = 8;
const zone = (draw: Draw) => `zone-${draw.int(3)}`;

/** Claims of every sort in one namespace: bound to local, zonal and CSI volumes, waiting, for one pod only, or lost. */
export function drawStorage(draw: Draw, namespaces: readonly string[], nodeNames: readonly string[]): Storage {
  const claims: PersistentVolumeClaim[] = [];
  const volumes: PersistentVolume[] = [];
  for (const namespace of namespaces) {
    for (let i = 0; i < CLAIMS; i++) {
      const volumeName = draw.maybe(0.7, () => `${namespace}-v${i}`);
      if (volumeName !== undefined) volumes.push(drawVolume(draw, volumeName, `${namespace}-h${draw.int(3)}`));
      const spec = {
        accessModes: [draw.one(["ReadWriteOnce", "ReadWriteOnce", "ReadWriteOncePod"])],
        resources: { requests: { storage: `${1 + draw.int(4)}Gi` } },
        storageClassName: draw.one(["local", "zonal", "zonal", "immediate"]),
        ...(volumeName === undefined ? {} : { volumeName }),
      };
      const status = { phase: volumeName === undefined ? "Pending" : "Bound" };
      claims.push(stored<PersistentVolumeClaim>({ metadata: { namespace, name: `c${i}` }, spec, status }));
    }
  }
  for (let i = 0; i < 3; i++) volumes.push(drawFree(draw, `free-${i}`, draw.one(nodeNames)));
  const waiting = { volumeBindingMode: "WaitForFirstConsumer" };
  const reach = draw.maybe(0.6, () => [
    { matchLabelExpressions: [{ key: "topology.kubernetes.io/zone", values: [zone(draw), zone(draw)] }] },
  ]);
  const classes = [
    stored<StorageClass>({ metadata: { name: "local" }, provisioner: "kubernetes.io/no-provisioner", ...waiting }),
    stored<StorageClass>({
      metadata: { name: "zonal" },
      provisioner: DRIVER,
      ...waiting,
      ...(reach === undefined ? {} : { allowedTopologies: reach }),
    }),
    stored<StorageClass>({ metadata: { name: "immediate" }, provisioner: DRIVER, volumeBindingMode: "Immediate" }),
  ];
  const csiNodes = nodeNames.map((name) =>
    stored<CSINode>({
      metadata: { name },
      spec: {
        drivers: draw.chance(0.7) ? [{ name: DRIVER, nodeID: name, allocatable: { count: draw.int(4) } }] : [],
      },
    }),
  );
  return { claims, volumes, classes, csiNodes };
}

function drawVolume(draw: Draw, name: string, volumeHandle: string): PersistentVolume {
  const labels = draw.maybe(0.2, () => ({ "topology.kubernetes.io/zone": `${zone(draw)}__${zone(draw)}` }));
  const nodeAffinity = draw.maybe(0.3, () => ({
    required: {
      nodeSelectorTerms: [
        {
          matchExpressions: [{ key: "topology.kubernetes.io/zone", operator: "In", values: [zone(draw), zone(draw)] }],
        },
      ],
    },
  }));
  const spec = {
    ...draw.maybe(0.6, () => ({ csi: { driver: DRIVER, volumeHandle } })),
    ...(nodeAffinity === undefined ? {} : { nodeAffinity }),
  };
  return stored<PersistentVolume>({ metadata: { name, ...(labels === undefined ? {} : { labels }) }, spec });
}

function drawFree(draw: Draw, name: string, node: string): PersistentVolume {
  const values = [node];
  return stored<PersistentVolume>({
    metadata: { name },
    spec: {
      capacity: { storage: `${1 + draw.int(4)}Gi` },
      accessModes: ["ReadWriteOnce"],
      storageClassName: "local",
      nodeAffinity: {
        required: { nodeSelectorTerms: [{ matchFields: [{ key: "metadata.name", operator: "In", values }] }] },
      },
    },
    status: { phase: "Available" },
  });
}

/** Volumes of a pod: claims (some of which do not exist) and disks that only readers may share. */
export function drawVolumes(draw: Draw): Volume[] {
  return Array.from({ length: 1 + draw.int(2) }, (_, i) =>
    draw.chance(0.8)
      ? { name: `v${i}`, persistentVolumeClaim: { claimName: `c${draw.int(draw.chance(0.05) ? CLAIMS + 1 : CLAIMS)}` } }
      : { name: `v${i}`, gcePersistentDisk: { pdName: `d${draw.int(2)}`, readOnly: draw.chance(0.5) } },
  );
}

function listed<T extends AnyObject>(
  objects: readonly T[],
  indexes: Readonly<Record<string, (object: T) => string>> = {},
): SharedInformer<T> {
  const lister: SharedInformer<T>["lister"] = {
    get: ({ namespace, name }) =>
      objects.find(({ metadata }) => metadata.name === name && (metadata.namespace ?? "") === namespace),
    list: () => [...objects],
    byIndex: (index, value) => objects.filter((object) => indexes[index]?.(object) === value),
  };
  return { lister } as SharedInformer<T>; // plugins only ever read
}

/** The storage as plugins see it. */
export function storageInformers({ claims, volumes, classes, csiNodes }: Storage): VolumeInformers {
  return {
    claims: listed(claims),
    volumes: listed(volumes, { [BY_CLASS]: ({ spec }) => spec?.storageClassName ?? "" }),
    classes: listed(classes),
    csiNodes: listed(csiNodes),
    csiDrivers: listed([]),
    capacities: listed([]),
    attachments: listed([]),
  };
}
