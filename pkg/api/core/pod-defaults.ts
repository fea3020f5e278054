import { parseQuantity, Quantity } from "#pkg/apimachinery/index.ts";
import { parseImageReference } from "../rules/index.ts";
import { compileDefaults } from "../defaults/compile.ts";
import { containerRows, podSpecRows, volumeRows } from "../defaults/tables.ts";
import type { Container, Pod, PodSpec, PodTemplateSpec, ResourceRequirements, Volume } from "../types/core-v1.ts";

const specDefaults = compileDefaults(podSpecRows);
const containerDefaults = compileDefaults(containerRows);
const volumeDefaults = compileDefaults(volumeRows);

/** Always for the tag latest and for no tag and no digest, else IfNotPresent, also for what names no image. */
function defaultPullPolicy(image = ""): "Always" | "IfNotPresent" {
  const reference = parseImageReference(image);
  if (reference === undefined) return "IfNotPresent";
  const { tag, digest } = reference;
  return (tag ?? (digest === undefined ? "latest" : "")) === "latest" ? "Always" : "IfNotPresent";
}

function defaultContainer(container: Container): void {
  containerDefaults(container as unknown as Record<string, unknown>);
  container.imagePullPolicy ||= defaultPullPolicy(container.image);
}

function defaultVolume(volume: Volume): void {
  const hasSource = Object.entries(volume).some(([field, value]) => field !== "name" && value !== undefined);
  if (!hasSource) volume.emptyDir = {};
  if (volume.image !== undefined) volume.image.pullPolicy ||= defaultPullPolicy(volume.image.reference);
  volumeDefaults(volume as unknown as Record<string, unknown>);
}

/** Defaults every pod spec has, in Pods and in templates. */
export function defaultPodSpec(spec: PodSpec): void {
  specDefaults(spec as unknown as Record<string, unknown>);
  // serviceAccount is the field's old name; both are always written.
  const account = spec.serviceAccountName || spec.serviceAccount;
  if (account !== undefined && account !== "") spec.serviceAccountName = spec.serviceAccount = account;
  for (const container of spec.initContainers ?? []) defaultContainer(container);
  for (const container of spec.containers ?? []) defaultContainer(container);
  for (const container of spec.ephemeralContainers ?? []) defaultContainer(container);
  for (const volume of spec.volumes ?? []) defaultVolume(volume);
}

export function defaultPodTemplate(template: PodTemplateSpec | undefined): void {
  if (template === undefined) return;
  template.metadata ??= {};
  if (template.spec !== undefined) defaultPodSpec(template.spec);
}

/** A limit without a request asks for as much as it allows. */
function requestsFromLimits(resources: ResourceRequirements | undefined): void {
  if (resources?.limits === undefined) return;
  for (const [name, limit] of Object.entries(resources.limits)) {
    resources.requests ??= {};
    resources.requests[name] ??= limit;
  }
}

/** Resources that may be set for the pod as a whole (KEP-2837). */
export function isPodLevelResource(name: string): boolean {
  return name === "cpu" || name === "memory" || name.startsWith("hugepages-");
}

/** Sum over containers and sidecars, or what a single init container needs, if that is more. */
export function aggregateRequests(spec: PodSpec, kind: "requests" | "limits" = "requests"): Map<string, Quantity> {
  const running = new Map<string, Quantity>();
  const peak = new Map<string, Quantity>();
  const add = (to: Map<string, Quantity>, from: Iterable<[string, Quantity]>) => {
    for (const [name, amount] of from) to.set(name, (to.get(name) ?? Quantity.zero).add(amount));
  };
  const of = ({ resources }: Container): [string, Quantity][] =>
    Object.entries(resources?.[kind] ?? {}).map(([name, amount]) => [name, parseQuantity(amount)]);
  for (const container of spec.initContainers ?? []) {
    const needed = new Map(running);
    add(needed, of(container));
    if (container.restartPolicy === "Always") add(running, of(container));
    for (const [name, amount] of needed) {
      if (amount.cmp(peak.get(name) ?? Quantity.zero) > 0) peak.set(name, amount);
    }
  }
  for (const container of spec.containers ?? []) add(running, of(container));
  for (const [name, amount] of peak) {
    if (amount.cmp(running.get(name) ?? Quantity.zero) > 0) running.set(name, amount);
  }
  return running;
}

function defaultPodLevelRequests(spec: PodSpec): void {
  const resources = spec.resources;
  if (resources?.limits === undefined || Object.keys(resources.limits).length === 0) return;
  const requests = { ...resources.requests };
  for (const [name, amount] of aggregateRequests(spec)) {
    // Huge pages cannot be overcommitted, so their request is the limit.
    if (isPodLevelResource(name) && !name.startsWith("hugepages-")) requests[name] ??= amount.toString();
  }
  for (const [name, limit] of Object.entries(resources.limits)) {
    if (isPodLevelResource(name)) requests[name] ??= limit;
  }
  if (Object.keys(requests).length > 0) resources.requests = requests;
}

/** Defaults of Pods beyond those of their spec: templates do not have them. */
export function defaultPod(pod: Pod): void {
  const spec = pod.spec;
  if (spec === undefined) return;
  spec.enableServiceLinks ??= true;
  defaultPodSpec(spec);
  for (const container of [...(spec.initContainers ?? []), ...(spec.containers ?? [])]) {
    requestsFromLimits(container.resources);
    if (spec.hostNetwork !== true) continue;
    for (const port of container.ports ?? []) port.hostPort ||= port.containerPort;
  }
  defaultPodLevelRequests(spec);
}
