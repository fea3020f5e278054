import { controllerOf } from "#pkg/apimachinery/index.ts";
import { ageOf, NONE } from "../printers/cells.ts";
import { containerCells, formatLabels, formatSelector } from "../printers/format.ts";
import type { ControllerRevision, DaemonSet, Deployment, ReplicaSet, StatefulSet } from "../types/apps-v1.ts";

export function printDeployment(deployment: Readonly<Deployment>, now: number): unknown[] {
  const { spec, status } = deployment;
  return [
    deployment.metadata.name,
    `${status?.readyReplicas ?? 0}/${spec?.replicas ?? 0}`,
    status?.updatedReplicas ?? 0,
    status?.availableReplicas ?? 0,
    ageOf(deployment, now),
    ...containerCells(spec?.template),
    formatSelector(spec?.selector),
  ];
}

export function printReplicaSet(replicaSet: Readonly<ReplicaSet>, now: number): unknown[] {
  const { spec, status } = replicaSet;
  return [
    replicaSet.metadata.name,
    spec?.replicas ?? 0,
    status?.replicas ?? 0,
    status?.readyReplicas ?? 0,
    ageOf(replicaSet, now),
    ...containerCells(spec?.template),
    formatSelector(spec?.selector),
  ];
}

export function printDaemonSet(daemonSet: Readonly<DaemonSet>, now: number): unknown[] {
  const { spec, status } = daemonSet;
  return [
    daemonSet.metadata.name,
    status?.desiredNumberScheduled ?? 0,
    status?.currentNumberScheduled ?? 0,
    status?.numberReady ?? 0,
    status?.updatedNumberScheduled ?? 0,
    status?.numberAvailable ?? 0,
    formatLabels(spec?.template?.spec?.nodeSelector),
    ageOf(daemonSet, now),
    ...containerCells(spec?.template),
    formatSelector(spec?.selector),
  ];
}

export function printStatefulSet(statefulSet: Readonly<StatefulSet>, now: number): unknown[] {
  const { spec, status } = statefulSet;
  const ready = `${status?.readyReplicas ?? 0}/${spec?.replicas ?? 0}`;
  return [statefulSet.metadata.name, ready, ageOf(statefulSet, now), ...containerCells(spec?.template)];
}

export function printControllerRevision(revision: Readonly<ControllerRevision>, now: number): unknown[] {
  const owner = controllerOf(revision);
  const group = owner?.apiVersion?.includes("/") === true ? `.${owner.apiVersion.split("/")[0]}` : "";
  const controller = owner === undefined ? NONE : `${(owner.kind ?? "").toLowerCase()}${group}/${owner.name}`;
  return [revision.metadata.name, controller, revision.revision, ageOf(revision, now)];
}
