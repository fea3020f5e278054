import { age, ageOf, NONE, UNSET } from "../printers/cells.ts";
import { containerCells, firstOf, formatAccessModes, formatLabels } from "../printers/format.ts";
import { storageClassNameOf } from "../rules/storage-class.ts";
import type {
  ComponentStatus,
  ConfigMap,
  Endpoints,
  Event,
  Namespace,
  Node,
  PersistentVolume,
  PersistentVolumeClaim,
  PodTemplate,
  ReplicationController,
  ResourceQuota,
  Secret,
  Service,
  ServiceAccount,
} from "../types/core-v1.ts";

const ROLE_PREFIX = "node-role.kubernetes.io/";

function nodeRoles(node: Readonly<Node>): string {
  const roles = new Set<string>();
  for (const [label, value] of Object.entries(node.metadata.labels ?? {})) {
    if (label.startsWith(ROLE_PREFIX) && label.length > ROLE_PREFIX.length) roles.add(label.slice(ROLE_PREFIX.length));
    else if (label === "kubernetes.io/role" && value !== "") roles.add(value);
  }
  return roles.size === 0 ? NONE : [...roles].sort().join(",");
}

function nodeStatus(node: Readonly<Node>): string {
  const ready = node.status?.conditions?.find(({ type }) => type === "Ready");
  const word = ready === undefined ? "Unknown" : ready.status === "True" ? "Ready" : "NotReady";
  return node.spec?.unschedulable === true ? `${word},SchedulingDisabled` : word;
}

export function printNode(node: Readonly<Node>, now: number): unknown[] {
  const info = node.status?.nodeInfo;
  const address = (type: string) =>
    node.status?.addresses?.find((candidate) => candidate.type === type)?.address || NONE;
  return [
    node.metadata.name,
    nodeStatus(node),
    nodeRoles(node),
    ageOf(node, now),
    info?.kubeletVersion ?? "",
    address("InternalIP"),
    address("ExternalIP"),
    info?.osImage || "<unknown>",
    info?.kernelVersion || "<unknown>",
    info?.containerRuntimeVersion || "<unknown>",
  ];
}

function externalAddress(service: Readonly<Service>): string {
  const { type, externalIPs = [], externalName } = service.spec ?? {};
  if (type === "ExternalName") return externalName ?? "";
  if (type !== "LoadBalancer") return externalIPs.length === 0 ? NONE : externalIPs.join(",");
  const ingress = (service.status?.loadBalancer?.ingress ?? []).map(({ ip, hostname }) => ip || hostname || "");
  const all = [...ingress.filter((text) => text !== ""), ...externalIPs];
  return all.length === 0 ? "<pending>" : all.join(",");
}

export function printService(service: Readonly<Service>, now: number): unknown[] {
  const spec = service.spec ?? {};
  const ports = (spec.ports ?? []).map(({ port, nodePort, protocol }) =>
    nodePort === undefined || nodePort === 0 ? `${port}/${protocol}` : `${port}:${nodePort}/${protocol}`,
  );
  return [
    service.metadata.name,
    spec.type ?? "",
    spec.clusterIPs?.[0] || spec.clusterIP || NONE,
    externalAddress(service),
    ports.length === 0 ? NONE : ports.join(","),
    ageOf(service, now),
    formatLabels(spec.selector),
  ];
}

const MAX_ENDPOINTS = 3;

export function printEndpoints(endpoints: Readonly<Endpoints>, now: number): unknown[] {
  const all: string[] = [];
  for (const { addresses = [], ports = [] } of endpoints.subsets ?? []) {
    const host = (ip: string | undefined) => (ip?.includes(":") === true ? `[${ip}]` : ip);
    if (ports.length === 0) all.push(...addresses.map(({ ip }) => ip));
    else for (const { port } of ports) all.push(...addresses.map(({ ip }) => `${host(ip)}:${port}`));
  }
  return [endpoints.metadata.name, all.length === 0 ? NONE : firstOf(all, MAX_ENDPOINTS), ageOf(endpoints, now)];
}

export function printEvent(event: Readonly<Event>, now: number): unknown[] {
  const first = age(event.firstTimestamp ?? event.eventTime, now);
  let last = (event.lastTimestamp ?? null) === null ? first : age(event.lastTimestamp!, now);
  let count = event.count || 1;
  if (event.series !== undefined) {
    last = age(event.series.lastObservedTime, now);
    count = event.series.count ?? 0;
  }
  const { kind = "", name = "", fieldPath } = event.involvedObject ?? {};
  const component = event.source?.component || event.reportingComponent || "";
  const host = event.source?.host || event.reportingInstance || "";
  return [
    last,
    event.type ?? "",
    event.reason ?? "",
    name === "" ? kind.toLowerCase() : `${kind.toLowerCase()}/${name}`,
    fieldPath ?? "",
    host === "" ? component : `${component}, ${host}`,
    (event.message ?? "").trim(),
    first,
    count,
    event.metadata.name,
  ];
}

export function printNamespace(namespace: Readonly<Namespace>, now: number): unknown[] {
  return [namespace.metadata.name, namespace.status?.phase ?? "", ageOf(namespace, now)];
}

export function printSecret(secret: Readonly<Secret>, now: number): unknown[] {
  return [secret.metadata.name, secret.type ?? "", Object.keys(secret.data ?? {}).length, ageOf(secret, now)];
}

export function printConfigMap(map: Readonly<ConfigMap>, now: number): unknown[] {
  const count = Object.keys(map.data ?? {}).length + Object.keys(map.binaryData ?? {}).length;
  return [map.metadata.name, count, ageOf(map, now)];
}

export function printServiceAccount(account: Readonly<ServiceAccount>, now: number): unknown[] {
  return [account.metadata.name, ageOf(account, now)];
}

export function printPodTemplate(template: Readonly<PodTemplate>): unknown[] {
  const labels = formatLabels(template.template?.metadata?.labels);
  return [template.metadata.name, ...containerCells(template.template), labels];
}

export function printReplicationController(controller: Readonly<ReplicationController>, now: number): unknown[] {
  const { spec, status } = controller;
  return [
    controller.metadata.name,
    spec?.replicas ?? 0,
    status?.replicas ?? 0,
    status?.readyReplicas ?? 0,
    ageOf(controller, now),
    ...containerCells(spec?.template),
    formatLabels(spec?.selector),
  ];
}

export function printPersistentVolume(volume: Readonly<PersistentVolume>, now: number): unknown[] {
  const { spec, status } = volume;
  const claim = spec?.claimRef === undefined ? "" : `${spec.claimRef.namespace ?? ""}/${spec.claimRef.name ?? ""}`;
  return [
    volume.metadata.name,
    String(spec?.capacity?.["storage"] ?? "0"),
    formatAccessModes(spec?.accessModes),
    spec?.persistentVolumeReclaimPolicy ?? "",
    volume.metadata.deletionTimestamp === undefined ? (status?.phase ?? "") : "Terminating",
    claim,
    storageClassNameOf(volume),
    spec?.volumeAttributesClassName ?? UNSET,
    status?.reason ?? "",
    ageOf(volume, now),
    spec?.volumeMode ?? UNSET,
  ];
}

export function printPersistentVolumeClaim(claim: Readonly<PersistentVolumeClaim>, now: number): unknown[] {
  const { spec, status } = claim;
  const bound = spec?.volumeName !== undefined && spec.volumeName !== "";
  return [
    claim.metadata.name,
    claim.metadata.deletionTimestamp === undefined ? (status?.phase ?? "") : "Terminating",
    spec?.volumeName ?? "",
    bound ? String(status?.capacity?.["storage"] ?? "0") : "",
    bound ? formatAccessModes(status?.accessModes) : "",
    storageClassNameOf(claim),
    spec?.volumeAttributesClassName ?? UNSET,
    ageOf(claim, now),
    spec?.volumeMode ?? UNSET,
  ];
}

export function printComponentStatus(component: Readonly<ComponentStatus>): unknown[] {
  const healthy = component.conditions?.find(({ type }) => type === "Healthy");
  const word = healthy?.status === "True" ? "Healthy" : healthy?.status === "False" ? "Unhealthy" : "Unknown";
  return [component.metadata.name, word, healthy?.message ?? "", healthy?.error ?? ""];
}

export function printResourceQuota(quota: Readonly<ResourceQuota>, now: number): unknown[] {
  const { hard = {}, used = {} } = quota.status ?? {};
  const cells: Record<"requests" | "limits", string[]> = { requests: [], limits: [] };
  for (const name of Object.keys(hard).sort()) {
    const text = `${name}: ${used[name] ?? "0"}/${hard[name]}`;
    cells[name.startsWith("limits.") ? "limits" : "requests"].push(text);
  }
  return [quota.metadata.name, cells.requests.join(", "), cells.limits.join(", "), ageOf(quota, now)];
}
