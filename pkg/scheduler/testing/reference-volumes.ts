/** The predicates about volumes as the documentation words them; part of the slow reference. */
import type { Node, PersistentVolume, PersistentVolumeClaim, Pod, Volume } from "#pkg/api/types/core-v1.ts";
import { DRIVER } from "./random-volumes.ts";
import type { Storage } from "./random-volumes.ts";
import { on, termHolds } from "./reference-basics.ts";
import type { World } from "./reference-basics.ts";

const claimNames = ({ spec }: Pod): string[] =>
  (spec.volumes ?? []).flatMap(({ persistentVolumeClaim }) =>
    persistentVolumeClaim === undefined ? [] : [persistentVolumeClaim.claimName],
  );
function claimsOf({ claims }: Storage, pod: Pod): (PersistentVolumeClaim | undefined)[] {
  const { namespace } = pod.metadata;
  return claimNames(pod).map((name) =>
    claims.find(({ metadata }) => metadata.name === name && metadata.namespace === namespace),
  );
}
const volumeOf = ({ volumes }: Storage, claim: PersistentVolumeClaim) =>
  volumes.find(({ metadata }) => metadata.name === claim.spec?.volumeName);
const classOf = ({ classes }: Storage, claim: PersistentVolumeClaim) =>
  classes.find(({ metadata }) => metadata.name === claim.spec?.storageClassName);
const gibi = (text: string | number | undefined) => Number.parseInt(String(text));

/** Refuses the pod whatever the node. */
export function volumesRefused(world: World, pod: Pod): string | undefined {
  const claims = claimsOf(world.storage, pod);
  if (claims.includes(undefined)) return "VolumeRestrictions";
  const isImmediate = (claim: PersistentVolumeClaim | undefined) =>
    claim?.spec?.volumeName === undefined &&
    classOf(world.storage, claim!)?.volumeBindingMode !== "WaitForFirstConsumer";
  return claims.some(isImmediate) ? "VolumeBinding" : undefined;
}

function restrictionsHold(world: World, pod: Pod, node: Node): boolean {
  const exclusive = claimsOf(world.storage, pod).flatMap((claim) =>
    claim?.spec?.accessModes?.includes("ReadWriteOncePod") === true ? [claim.metadata.name] : [],
  );
  const others = world.pods.filter(({ metadata }) => metadata.namespace === pod.metadata.namespace);
  if (others.some((other) => claimNames(other).some((name) => exclusive.includes(name)))) return false;
  const disks = ({ spec }: Pod) => (spec.volumes ?? []).flatMap(({ gcePersistentDisk: disk }: Volume) => disk ?? []);
  return !disks(pod).some((mine) =>
    on(world, node)
      .flatMap(disks)
      .some((theirs) => mine.pdName === theirs.pdName && !(mine.readOnly === true && theirs.readOnly === true)),
  );
}

/** Handles of the driver's volumes that the pod uses or will have made for it. */
function driverVolumes(world: World, pod: Pod): string[] {
  return claimsOf(world.storage, pod).flatMap((claim) => {
    if (claim === undefined) return [];
    const volume = volumeOf(world.storage, claim);
    if (volume === undefined) {
      const isMade = classOf(world.storage, claim)?.provisioner === DRIVER;
      return isMade ? [`new ${claim.metadata.namespace}/${claim.metadata.name}`] : [];
    }
    return volume.spec?.csi === undefined ? [] : [volume.spec.csi.volumeHandle];
  });
}
function limitsHold(world: World, pod: Pod, node: Node): boolean {
  const csiNode = world.storage.csiNodes.find(({ metadata }) => metadata.name === node.metadata.name);
  const limit = csiNode?.spec.drivers?.find(({ name }) => name === DRIVER)?.allocatable?.count;
  const present = new Set(on(world, node).flatMap((other) => driverVolumes(world, other)));
  const wanted = driverVolumes(world, pod);
  if (limit === undefined || wanted.every((volume) => present.has(volume))) return true;
  return present.union(new Set(wanted)).size <= limit;
}

const reaches = ({ spec }: PersistentVolume, node: Node) =>
  spec?.nodeAffinity?.required?.nodeSelectorTerms.some((term) => termHolds(term, node)) ?? true;

function bindingHolds(world: World, pod: Pod, node: Node): boolean {
  const claims = claimsOf(world.storage, pod).flatMap((claim) => claim ?? []);
  const bound = claims.flatMap((claim) => volumeOf(world.storage, claim) ?? []);
  if (!bound.every((volume) => reaches(volume, node))) return false;
  const unbound = claims.filter(({ spec }) => spec?.volumeName === undefined);
  const size = ({ spec }: PersistentVolumeClaim) => gibi(spec?.resources?.requests?.["storage"]);
  const free = world.storage.volumes.filter(({ status }) => status?.phase === "Available");
  for (const claim of unbound.toSorted((a, b) => size(a) - size(b))) {
    const [found] = free
      .filter(({ spec }) => spec?.storageClassName === claim.spec?.storageClassName)
      .filter(({ spec }) => claim.spec?.accessModes?.every((mode) => spec?.accessModes?.includes(mode)))
      .filter((volume) => gibi(volume.spec?.capacity?.["storage"]) >= size(claim) && reaches(volume, node))
      .toSorted((a, b) => gibi(a.spec?.capacity?.["storage"]) - gibi(b.spec?.capacity?.["storage"]));
    if (found !== undefined) {
      free.splice(free.indexOf(found), 1);
      continue;
    }
    const storageClass = classOf(world.storage, claim)!;
    if (storageClass.provisioner !== DRIVER) return false;
    const isAllowed = (storageClass.allowedTopologies ?? []).some(({ matchLabelExpressions = [] }) =>
      matchLabelExpressions.every(({ key, values }) => values.includes(node.metadata.labels?.[key] ?? "")),
    );
    if (storageClass.allowedTopologies !== undefined && !isAllowed) return false;
  }
  return true;
}

function zoneHolds(world: World, pod: Pod, node: Node): boolean {
  const key = "topology.kubernetes.io/zone";
  return claimsOf(world.storage, pod).every((claim) => {
    const zones = claim === undefined ? undefined : volumeOf(world.storage, claim)?.metadata.labels?.[key];
    return zones === undefined || zones.split("__").includes(node.metadata.labels?.[key] ?? "");
  });
}

/** The first volume plugin that refuses the node, or undefined. */
export function volumesRefusedBy(world: World, pod: Pod, node: Node): string | undefined {
  if ((pod.spec.volumes ?? []).length === 0) return undefined;
  if (!restrictionsHold(world, pod, node)) return "VolumeRestrictions";
  if (!limitsHold(world, pod, node)) return "NodeVolumeLimits";
  if (!bindingHolds(world, pod, node)) return "VolumeBinding";
  return zoneHolds(world, pod, node) ? undefined : "VolumeZone";
}
