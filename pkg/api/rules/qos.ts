import { parseQuantity } from "#pkg/apimachinery/index.ts";
import type { Pod, ResourceRequirements } from "../types/core-v1.ts";

/** status.qosClass of a pod. */
export type QosClass = "Guaranteed" | "Burstable" | "BestEffort";

const QOS_RESOURCES = ["cpu", "memory"] as const;

/** The amounts of cpu and memory that are not zero. */
function amounts(list: ResourceRequirements["limits"]): Map<string, string> {
  const found = new Map<string, string>();
  for (const name of QOS_RESOURCES) {
    const amount = list?.[name];
    if (amount === undefined) continue;
    const quantity = parseQuantity(amount);
    if (!quantity.isZero()) found.set(name, quantity.toString());
  }
  return found;
}

/**
 * The quality-of-service class that the requests and limits of a pod amount to (pod-qos in the Kubernetes documentation); those
 * of the pod as a whole (KEP-2837) stand for its containers'.
 */
export function qosClassOf(pod: Pick<Pod, "spec">): QosClass {
  const spec = pod.spec;
  const all: (ResourceRequirements | undefined)[] =
    spec?.resources === undefined
      ? [...(spec?.initContainers ?? []), ...(spec?.containers ?? [])].map(({ resources }) => resources)
      : [spec.resources];
  let any = false;
  let guaranteed = true;
  for (const resources of all) {
    // What leaves something open, as most do, cannot be guaranteed any more: then only "anything at all" matters.
    if (any && !guaranteed) break;
    const requests = amounts(resources?.requests);
    const limits = amounts(resources?.limits);
    if (requests.size > 0 || limits.size > 0) any = true;
    if (limits.size !== QOS_RESOURCES.length) guaranteed = false;
    for (const [name, amount] of requests) {
      if (limits.get(name) !== amount) guaranteed = false;
    }
  }
  if (!any) return "BestEffort";
  return guaranteed ? "Guaranteed" : "Burstable";
}
