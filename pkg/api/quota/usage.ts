import type { Container, PersistentVolumeClaim, Pod, Service } from "#pkg/api/types/core-v1.ts";
import type { ResourceClaim } from "#pkg/api/types/resource-v1.ts";
import { type KubeObject, parseQuantity, type Quantity } from "#pkg/apimachinery/index.ts";
import { storageClassNameOf } from "../rules/storage-class.ts";
import type { Clock } from "#pkg/util/index.ts";
import { parseList, podLimits, podRequests, type ResourceList } from "./resources.ts";

const ONE = parseQuantity("1");

/** The name quotas count all objects of a resource by. */
function countName(group: string, plural: string): string {
  return group === "" ? `count/${plural}` : `count/${plural}.${group}`;
}

/** Kinds that had a quota name of their own before `count/…` existed. */
const LEGACY_COUNTS = new Set([
  "configmaps",
  "persistentvolumeclaims",
  "replicationcontrollers",
  "resourcequotas",
  "secrets",
  "services",
]);

const NATIVE_PAIRS = new Set(["cpu", "memory", "ephemeral-storage"]);

/** Requests and limits under the names quotas use: cpu, requests.cpu, limits.cpu, requests.example.com/gpu… */
function computeUsage(requests: ResourceList, limits: ResourceList): Map<string, Quantity> {
  const usage = new Map<string, Quantity>();
  for (const [name, quantity] of requests) {
    if (NATIVE_PAIRS.has(name) || name.startsWith("hugepages-")) usage.set(name, quantity);
    usage.set(`requests.${name}`, quantity);
  }
  for (const [name, quantity] of limits) if (NATIVE_PAIRS.has(name)) usage.set(`limits.${name}`, quantity);
  return usage;
}

/** Has the pod stopped, or outlived the grace period of its deletion? Then it holds no resources any more. */
function isOver(pod: Pod, clock: Clock): boolean {
  if (pod.status?.phase === "Failed" || pod.status?.phase === "Succeeded") return true;
  const { deletionTimestamp, deletionGracePeriodSeconds } = pod.metadata;
  if (deletionTimestamp === undefined || deletionGracePeriodSeconds === undefined) return false;
  return clock.now() > Date.parse(deletionTimestamp);
}

function podUsage(pod: Pod, clock: Clock): Map<string, Quantity> {
  const usage = isOver(pod, clock)
    ? new Map<string, Quantity>()
    : computeUsage(podRequests(pod), podLimits(pod)).set("pods", ONE);
  return usage.set("count/pods", ONE);
}

function serviceUsage(service: Service, usage: Map<string, Quantity>): void {
  const ports = service.spec?.ports ?? [];
  const type = service.spec?.type ?? "ClusterIP";
  let nodePorts = 0;
  if (type === "NodePort") nodePorts = ports.length;
  else if (type === "LoadBalancer") {
    const allocates = service.spec?.allocateLoadBalancerNodePorts !== false;
    nodePorts = allocates ? ports.length : ports.filter(({ nodePort }) => (nodePort ?? 0) !== 0).length;
    usage.set("services.loadbalancers", ONE);
  }
  if (nodePorts > 0) usage.set("services.nodeports", parseQuantity(String(nodePorts)));
}

function claimUsage(claim: PersistentVolumeClaim, usage: Map<string, Quantity>): void {
  const className = storageClassNameOf(claim);
  const prefix = className === "" ? undefined : `${className}.storageclass.storage.k8s.io/`;
  if (prefix !== undefined) usage.set(`${prefix}persistentvolumeclaims`, ONE);
  const requested = parseList(claim.spec?.resources?.requests).get("storage");
  const allocated = parseList(claim.status?.allocatedResources).get("storage");
  const storage =
    requested !== undefined && allocated !== undefined && allocated.cmp(requested) > 0 ? allocated : requested;
  if (storage === undefined) return;
  usage.set("requests.storage", storage);
  if (prefix !== undefined) usage.set(`${prefix}requests.storage`, storage);
}

/** How many devices "all" may turn out to be (the API's bound on an allocation). */
const MAX_DEVICES = 32;

function deviceUsage(claim: ResourceClaim, usage: Map<string, Quantity>): void {
  for (const request of claim.spec?.devices?.requests ?? []) {
    const alternatives = [
      ...(request.exactly === undefined ? [] : [request.exactly]),
      ...(request.firstAvailable ?? []),
    ];
    for (const { deviceClassName, allocationMode, count } of alternatives) {
      const name = `${deviceClassName}.deviceclass.resource.k8s.io/devices`;
      const wanted = parseQuantity(String(allocationMode === "All" ? MAX_DEVICES : (count ?? 1)));
      const present = usage.get(name);
      usage.set(name, present === undefined ? wanted : present.add(wanted));
    }
  }
}

/** What one object counts for in every quota that covers it. */
export function usageOf(group: string, plural: string, object: KubeObject, clock: Clock): Map<string, Quantity> {
  if (group === "" && plural === "pods") return podUsage(object as unknown as Pod, clock);
  const usage = new Map([[countName(group, plural), ONE]]);
  if (group === "") {
    if (LEGACY_COUNTS.has(plural)) usage.set(plural, ONE);
    if (plural === "services") serviceUsage(object as unknown as Service, usage);
    if (plural === "persistentvolumeclaims") claimUsage(object as unknown as PersistentVolumeClaim, usage);
  } else if (group === "resource.k8s.io" && plural === "resourceclaims")
    deviceUsage(object as unknown as ResourceClaim, usage);
  return usage;
}

const POD_RESOURCES = new Set([
  "count/pods",
  "pods",
  ...[...NATIVE_PAIRS].flatMap((name) => [name, `requests.${name}`, `limits.${name}`]),
]);

/** Can objects of this resource consume the quota resource at all? */
export function consumes(group: string, plural: string, name: string): boolean {
  if (name === countName(group, plural)) return true;
  if (group === "resource.k8s.io" && plural === "resourceclaims")
    return name.endsWith(".deviceclass.resource.k8s.io/devices");
  if (group !== "") return false;
  if (plural === "pods") {
    const extended = name.startsWith("requests.") && name.includes("/") && !name.includes("kubernetes.io/");
    return (
      POD_RESOURCES.has(name) || extended || name.startsWith("hugepages-") || name.startsWith("requests.hugepages-")
    );
  }
  if (LEGACY_COUNTS.has(plural) && name === plural) return true;
  if (plural === "services") return name === "services.nodeports" || name === "services.loadbalancers";
  return (
    plural === "persistentvolumeclaims" &&
    (name === "requests.storage" || name.includes(".storageclass.storage.k8s.io/"))
  );
}

const REQUIRED = new Set(["cpu", "memory", "requests.cpu", "requests.memory", "limits.cpu", "limits.memory"]);

/** Where cpu or memory is limited, every container has to say what it needs. Undefined when all do. */
export function constraintError(pod: Pod, restricted: readonly string[]): string | undefined {
  const required = restricted.filter((name) => REQUIRED.has(name));
  if (required.length === 0) return undefined;
  const missing = new Map<string, Set<string>>();
  const check = (container: Container): void => {
    const given = computeUsage(parseList(container.resources?.requests), parseList(container.resources?.limits));
    for (const name of required) {
      if (!given.has(name)) missing.set(name, (missing.get(name) ?? new Set()).add(container.name));
    }
  };
  // Pod-level resources speak for all containers.
  const podLevel = computeUsage(parseList(pod.spec?.resources?.requests), parseList(pod.spec?.resources?.limits));
  if (required.every((name) => podLevel.has(name))) return undefined;
  for (const container of [...(pod.spec?.containers ?? []), ...(pod.spec?.initContainers ?? [])]) check(container);
  if (missing.size === 0) return undefined;
  const lines = [...missing]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, containers]) => `${name} for: ${[...containers].sort().join(",")}`);
  return `must specify ${lines.join("; ")}`;
}
