import { parseQuantity, QuantityError } from "#pkg/apimachinery/index.ts";
import type { Container, ContainerStatus, Pod } from "#pkg/api/types/core-v1.ts";

/** Amounts of resources: CPU in thousandths, memory and storage in bytes, others in whole units. */
export interface Resources {
  milliCpu: number;
  memory: number;
  ephemeralStorage: number;
  /** Extended resources, huge pages and the like; undefined when there are none. */
  scalars: Map<string, number> | undefined;
}

/** What a container without a request counts as when nodes are compared (not when they are filtered). */
const DEFAULT_MILLI_CPU = 100;
const DEFAULT_MEMORY = 200 * 1024 * 1024;

/** Nothing of anything. */
export function noResources(): Resources {
  return { milliCpu: 0, memory: 0, ephemeralStorage: 0, scalars: undefined };
}

/** Adds amounts in place, or with -1 takes them away. */
export function addResources(to: Resources, from: Resources, sign: 1 | -1 = 1): void {
  to.milliCpu += sign * from.milliCpu;
  to.memory += sign * from.memory;
  to.ephemeralStorage += sign * from.ephemeralStorage;
  if (from.scalars === undefined) return;
  to.scalars ??= new Map();
  for (const [name, value] of from.scalars) to.scalars.set(name, (to.scalars.get(name) ?? 0) + sign * value);
}

function copyResources(from: Resources): Resources {
  return { ...from, scalars: from.scalars === undefined ? undefined : new Map(from.scalars) };
}

function maxInto(to: Resources, from: Resources): void {
  to.milliCpu = Math.max(to.milliCpu, from.milliCpu);
  to.memory = Math.max(to.memory, from.memory);
  to.ephemeralStorage = Math.max(to.ephemeralStorage, from.ephemeralStorage);
  if (from.scalars === undefined) return;
  to.scalars ??= new Map();
  for (const [name, value] of from.scalars) to.scalars.set(name, Math.max(to.scalars.get(name) ?? 0, value));
}

/** The amount of a named resource. */
export function amountOf(resources: Resources, name: string): number {
  switch (name) {
    case "cpu":
      return resources.milliCpu;
    case "memory":
      return resources.memory;
    case "ephemeral-storage":
      return resources.ephemeralStorage;
    default:
      return resources.scalars?.get(name) ?? 0;
  }
}

/** Reads a resource list. Negative amounts count as none: they must not make room for others. */
export function readResources(list: Readonly<Record<string, string | number>> | undefined): Resources {
  const resources = noResources();
  if (list === undefined) return resources;
  for (const name of Object.keys(list)) setAmount(resources, name, list[name]!);
  return resources;
}

/** What a node says it has. An amount that nobody can read is none: the node is not trusted to mean something by it. */
export function readAllocatable(list: Readonly<Record<string, string | number>> = {}): {
  readonly resources: Resources;
  readonly pods: number;
} {
  const resources = noResources();
  let pods = 0;
  for (const name of Object.keys(list)) {
    try {
      if (name === "pods") pods = wholeOf(list[name]!);
      else setAmount(resources, name, list[name]!);
    } catch (error) {
      if (!(error instanceof QuantityError)) throw error;
    }
  }
  return { resources, pods };
}

function setAmount(resources: Resources, name: string, quantity: string | number): void {
  switch (name) {
    case "cpu":
      resources.milliCpu = milliOf(quantity);
      return;
    case "memory":
      resources.memory = wholeOf(quantity);
      return;
    case "ephemeral-storage":
      resources.ephemeralStorage = wholeOf(quantity);
      return;
    case "pods":
      return; // counted, not summed
    default:
      resources.scalars ??= new Map();
      resources.scalars.set(name, wholeOf(quantity));
  }
}

const PLAIN_MILLI = /^([0-9]{1,9})m$/;
const PLAIN_WHOLE = /^([0-9]{1,9})(Ki|Mi|Gi)?$/;
const UNITS: Readonly<Record<string, number>> = { Ki: 1024, Mi: 1024 ** 2, Gi: 1024 ** 3 };

/** Most quantities are plain; those are read without the exact machinery. */
function milliOf(quantity: string | number): number {
  const milli = typeof quantity === "string" ? PLAIN_MILLI.exec(quantity) : null;
  return milli === null ? Math.max(0, parseQuantity(quantity).milliValue()) : Number(milli[1]);
}

/** The quantity rounded up to a whole number, never below 0. */
export function wholeOf(quantity: string | number): number {
  const plain = typeof quantity === "string" ? PLAIN_WHOLE.exec(quantity) : null;
  if (plain === null) return Math.max(0, parseQuantity(quantity).value());
  return Number(plain[1]) * (plain[2] === undefined ? 1 : UNITS[plain[2]]!);
}

/** What a pod asks for, as its node has to provide it. */
export interface PodRequests {
  readonly requests: Resources;
  /** With defaults for containers that request nothing: what scoring goes by. */
  readonly nonZero: { readonly milliCpu: number; readonly memory: number };
}

/**
 * What a pod takes from its node (KEP-753 sidecars, KEP-2837 pod-level resources, KEP-1287 resize): containers and
 * sidecars together, or the largest init container with the sidecars started before it, plus overhead.
 */
export function podRequests(pod: Pod): PodRequests {
  const statuses = statusesByName(pod);
  const requests = sumContainers(pod, (container) => containerRequests(container, statuses, pod));
  const filled = sumContainers(pod, (container) =>
    withDefaults(container, containerRequests(container, statuses, pod)),
  );
  applyPodLevel(requests, pod);
  applyPodLevel(filled, pod);
  if (pod.spec.overhead !== undefined) {
    const overhead = readResources(pod.spec.overhead);
    addResources(requests, overhead);
    addResources(filled, overhead);
  }
  return { requests, nonZero: { milliCpu: filled.milliCpu, memory: filled.memory } };
}

function sumContainers(pod: Pod, of: (container: Container) => Resources): Resources {
  const { containers, initContainers = [] } = pod.spec;
  const [only] = containers;
  if (initContainers.length === 0 && containers.length === 1 && only !== undefined) return of(only);
  const running = noResources();
  for (const container of containers) addResources(running, of(container));
  const sidecars = noResources();
  const peak = noResources();
  for (const container of initContainers) {
    const wanted = of(container);
    if (container.restartPolicy === "Always") {
      addResources(sidecars, wanted);
      addResources(running, wanted);
      maxInto(peak, sidecars);
    } else {
      const together = copyResources(sidecars);
      addResources(together, wanted);
      maxInto(peak, together);
    }
  }
  maxInto(running, peak);
  return running;
}

function statusesByName(pod: Pod): Map<string, ContainerStatus> | undefined {
  const all = [...(pod.status?.containerStatuses ?? []), ...(pod.status?.initContainerStatuses ?? [])];
  const resized = all.filter(
    ({ allocatedResources, resources }) => allocatedResources !== undefined || resources !== undefined,
  );
  return resized.length === 0 ? undefined : new Map(resized.map((status) => [status.name, status]));
}

/** While a resize is under way the node must hold the largest of what is wanted, allocated and actually in force. */
function containerRequests(
  container: Container,
  statuses: Map<string, ContainerStatus> | undefined,
  pod: Pod,
): Resources {
  const wanted = readResources(container.resources?.requests);
  const status = statuses?.get(container.name);
  if (status === undefined) return wanted;
  const inForce = readResources(status.resources?.requests);
  maxInto(inForce, readResources(status.allocatedResources));
  if (isResizeInfeasible(pod)) return inForce;
  maxInto(wanted, inForce);
  return wanted;
}

function isResizeInfeasible(pod: Pod): boolean {
  const pending = pod.status?.conditions?.find(({ type }) => type === "PodResizePending");
  return pending?.reason === "Infeasible";
}

function withDefaults(container: Container, requests: Resources): Resources {
  const asked = container.resources?.requests;
  return {
    ...requests,
    milliCpu: asked?.["cpu"] === undefined && requests.milliCpu === 0 ? DEFAULT_MILLI_CPU : requests.milliCpu,
    memory: asked?.["memory"] === undefined && requests.memory === 0 ? DEFAULT_MEMORY : requests.memory,
  };
}

function applyPodLevel(requests: Resources, pod: Pod): void {
  const list = pod.spec.resources?.requests;
  if (list === undefined) return;
  // Only these may be set for the pod as a whole; then they, not the sum, are what counts.
  for (const name of Object.keys(list)) {
    if (name === "cpu" || name === "memory" || name.startsWith("hugepages-")) setAmount(requests, name, list[name]!);
  }
}
