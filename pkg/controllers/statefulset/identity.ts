import { deepCopy } from "#pkg/apimachinery/index.ts";
import type { Draft } from "#pkg/client/index.ts";
import type { StatefulSet } from "#pkg/api/types/apps-v1.ts";
import type { PersistentVolumeClaim, Pod, PodTemplateSpec, Volume } from "#pkg/api/types/core-v1.ts";
import type { OwnerReference } from "#pkg/api/types/meta-v1.ts";
import { REVISION_LABEL } from "../common/history.ts";
import { controllerRef, podsPrefix } from "../common/pod-template.ts";

const POD_NAME_LABEL = "statefulset.kubernetes.io/pod-name";
const POD_INDEX_LABEL = "apps.kubernetes.io/pod-index";
const KIND = { apiVersion: "apps/v1", kind: "StatefulSet" };

/** Name of the pod with this ordinal. */
export function podName(set: StatefulSet, ordinal: number): string {
  return `${set.metadata.name}-${ordinal}`;
}

/** The ordinal in a pod's name; undefined when the name is not one of this set. */
export function ordinalOf(set: StatefulSet, pod: { metadata: { name: string } }): number | undefined {
  const match = /^(.*)-(0|[1-9][0-9]{0,9})$/.exec(pod.metadata.name);
  if (match === null || match[1] !== set.metadata.name) return undefined;
  const ordinal = Number(match[2]);
  return ordinal < 2 ** 31 ? ordinal : undefined;
}

/** Name of the claim that the pod with this ordinal gets from the claim template. */
export function claimName(set: StatefulSet, template: string, ordinal: number): string {
  return `${template}-${set.metadata.name}-${ordinal}`;
}

/** The claims that a pod of this ordinal needs, by name of the volume. */
export function claimsFor(set: StatefulSet, ordinal: number): Map<string, Draft<PersistentVolumeClaim>> {
  const claims = new Map<string, Draft<PersistentVolumeClaim>>();
  for (const template of set.spec.volumeClaimTemplates ?? []) {
    const { name, labels, annotations } = template.metadata;
    claims.set(name, {
      apiVersion: "v1",
      kind: "PersistentVolumeClaim",
      metadata: {
        name: claimName(set, name, ordinal),
        namespace: set.metadata.namespace,
        labels: { ...labels, ...set.spec.selector.matchLabels },
        ...(annotations === undefined ? {} : { annotations: { ...annotations } }),
      },
      spec: deepCopy(template.spec),
    });
  }
  return claims;
}

/** Volumes of the template, those named like a claim template replaced by the claim. */
function volumesFor(set: StatefulSet, ordinal: number, present: readonly Volume[] | undefined): Volume[] {
  const claims = claimsFor(set, ordinal);
  const claimed = [...claims].map(([name, { metadata }]): Volume => {
    const before = present?.find((volume) => volume.name === name)?.persistentVolumeClaim?.readOnly;
    const readOnly = before === undefined ? {} : { readOnly: before };
    return { name, persistentVolumeClaim: { claimName: metadata.name ?? "", ...readOnly } };
  });
  return [...claimed, ...(present ?? []).filter(({ name }) => !claims.has(name))];
}

/** The pod of this ordinal, made from a revision's template. */
export function draftPod(
  set: StatefulSet,
  template: PodTemplateSpec,
  revisionName: string,
  ordinal: number,
): Draft<Pod> {
  const name = podName(set, ordinal);
  const spec = deepCopy(template.spec) ?? { containers: [] };
  const volumes = volumesFor(set, ordinal, spec.volumes);
  const { labels, annotations, finalizers } = template.metadata ?? {};
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: {
      name,
      // Like all pods that are made of a template, although the name is given here.
      generateName: podsPrefix(set.metadata.name),
      namespace: set.metadata.namespace,
      labels: {
        ...labels,
        [POD_NAME_LABEL]: name,
        [POD_INDEX_LABEL]: String(ordinal),
        [REVISION_LABEL]: revisionName,
      },
      ...(annotations === undefined ? {} : { annotations: { ...annotations } }),
      ...(finalizers === undefined ? {} : { finalizers: [...finalizers] }),
      ownerReferences: [controllerRef(set, KIND)],
    },
    spec: {
      ...spec,
      hostname: name,
      ...(set.spec.serviceName === undefined || set.spec.serviceName === "" ? {} : { subdomain: set.spec.serviceName }),
      ...(volumes.length === 0 ? {} : { volumes }),
    },
  };
}

/** A pod whose labels were edited by hand gets its identity back; undefined when nothing is wrong. */
export function repairedPod(set: StatefulSet, pod: Pod, ordinal: number): Pod | undefined {
  const { name, labels } = pod.metadata;
  if (labels?.[POD_NAME_LABEL] === name && labels[POD_INDEX_LABEL] === String(ordinal)) return undefined;
  return {
    ...pod,
    metadata: {
      ...pod.metadata,
      labels: { ...labels, [POD_NAME_LABEL]: podName(set, ordinal), [POD_INDEX_LABEL]: String(ordinal) },
    },
  };
}

/** Who must own a claim under the set's retention policy (KEP-1847). */
function claimOwners(
  set: StatefulSet,
  pod: Pod | undefined,
  scaledDown: boolean,
): { readonly set: boolean; readonly pod: OwnerReference | undefined } {
  const policy = set.spec.persistentVolumeClaimRetentionPolicy;
  const deleteScaled = policy?.whenScaled === "Delete";
  const deleteDeleted = policy?.whenDeleted === "Delete";
  const podOwns = deleteScaled && scaledDown && pod !== undefined;
  return {
    set: deleteDeleted && !podOwns,
    pod: podOwns
      ? { apiVersion: "v1", kind: "Pod", name: pod.metadata.name, uid: pod.metadata.uid, controller: false }
      : undefined,
  };
}

/** Owner references a claim should have; undefined when it has them. Owners that are not ours stay. */
export function plannedClaimOwners(
  set: StatefulSet,
  claim: PersistentVolumeClaim,
  pod: Pod | undefined,
  scaledDown: boolean,
): OwnerReference[] | undefined {
  const wanted = claimOwners(set, pod, scaledDown);
  const present = claim.metadata.ownerReferences ?? [];
  const isSet = ({ uid }: OwnerReference) => uid === set.metadata.uid;
  const isPod = ({ kind, name, apiVersion }: OwnerReference) =>
    kind === "Pod" && apiVersion === "v1" && ordinalOf(set, { metadata: { name } }) !== undefined;
  const kept = present.filter((reference) => {
    if (isSet(reference)) return wanted.set;
    if (isPod(reference)) return reference.uid === wanted.pod?.uid;
    return true;
  });
  const result = [...kept];
  if (wanted.set && !kept.some(isSet))
    result.push({ ...KIND, name: set.metadata.name, uid: set.metadata.uid, controller: false });
  if (wanted.pod !== undefined && !kept.some(({ uid }) => uid === wanted.pod!.uid)) result.push(wanted.pod);
  return result.length === present.length && kept.length === present.length ? undefined : result;
}
