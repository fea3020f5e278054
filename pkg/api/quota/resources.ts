import type { Container, Pod } from "#pkg/api/types/core-v1.ts";
import { parseQuantity, type Quantity } from "#pkg/apimachinery/index.ts";

/** Amounts by resource: "cpu", "memory", "nvidia.com/gpu". */
export type ResourceList = ReadonlyMap<string, Quantity>;
type Field = "requests" | "limits";

function add(into: Map<string, Quantity>, from: ResourceList): void {
  for (const [name, quantity] of from) {
    const present = into.get(name);
    into.set(name, present === undefined ? quantity : present.add(quantity));
  }
}
function raise(into: Map<string, Quantity>, from: ResourceList): void {
  for (const [name, quantity] of from) {
    const present = into.get(name);
    if (present === undefined || present.cmp(quantity) < 0) into.set(name, quantity);
  }
}

/** A resource list of an object with its quantities read. */
export function parseList(list: Readonly<Record<string, unknown>> | undefined): Map<string, Quantity> {
  return new Map(Object.entries(list ?? {}).map(([name, value]) => [name, parseQuantity(value as string)]));
}

function ofContainer(container: Container, field: Field): ResourceList {
  return parseList(container.resources?.[field]);
}

/**
 * What a pod needs in all: its containers and sidecars together, or the largest moment of initialisation if that is
 * more; pod-level resources replace the sum (KEP-2837), overhead comes on top.
 */
function total(pod: Pod, field: Field): Map<string, Quantity> {
  const sum = new Map<string, Quantity>();
  for (const container of pod.spec?.containers ?? []) add(sum, ofContainer(container, field));
  const sidecars = new Map<string, Quantity>();
  const initial = new Map<string, Quantity>();
  for (const container of pod.spec?.initContainers ?? []) {
    const own = ofContainer(container, field);
    if (container.restartPolicy === "Always") {
      add(sum, own);
      add(sidecars, own);
      raise(initial, sidecars);
    } else {
      const moment = new Map(own);
      add(moment, sidecars);
      raise(initial, moment);
    }
  }
  raise(sum, initial);
  for (const [name, quantity] of parseList(pod.spec?.resources?.[field])) sum.set(name, quantity);
  for (const [name, quantity] of parseList(pod.spec?.overhead)) {
    const present = sum.get(name);
    // Overhead widens limits only where there are any.
    if (field === "requests") sum.set(name, present === undefined ? quantity : present.add(quantity));
    else if (present !== undefined) sum.set(name, present.add(quantity));
  }
  return sum;
}

/** What a pod requests in all. */
export function podRequests(pod: Pod): Map<string, Quantity> {
  return total(pod, "requests");
}
/** What a pod is limited to in all. */
export function podLimits(pod: Pod): Map<string, Quantity> {
  return total(pod, "limits");
}
