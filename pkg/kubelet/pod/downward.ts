/** Values of the downward API: fields of the pod and resources of its containers. */
import type { Container, ObjectFieldSelector, Pod, ResourceFieldSelector } from "#pkg/api/types/core-v1.ts";
import { goQuote, parseQuantity } from "#pkg/apimachinery/index.ts";

/** What fields and resources of a pod are read from. */
export interface DownwardContext {
  readonly pod: Pod;
  readonly podIPs: readonly string[];
  readonly hostIPs: readonly string[];
  /** Used where a container has no limit of its own. */
  readonly nodeAllocatable: Readonly<Record<string, string | number>>;
}

/** A key that the pod does not have, or a path the downward API does not know. */
export class DownwardError extends Error {}

function formatMap(map: Readonly<Record<string, string>> | undefined): string {
  return Object.entries(map ?? {})
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, value]) => `${key}=${goQuote(value)}`)
    .join("\n");
}

export function fieldValue({ fieldPath }: ObjectFieldSelector, context: DownwardContext): string {
  const { pod, podIPs, hostIPs } = context;
  const keyed = /^metadata\.(labels|annotations)\['(.*)'\]$/.exec(fieldPath);
  if (keyed !== null) return pod.metadata[keyed[1] as "labels" | "annotations"]?.[keyed[2]!] ?? "";
  switch (fieldPath) {
    case "metadata.name":
      return pod.metadata.name;
    case "metadata.namespace":
      return pod.metadata.namespace ?? "";
    case "metadata.uid":
      return pod.metadata.uid;
    case "metadata.labels":
      return formatMap(pod.metadata.labels);
    case "metadata.annotations":
      return formatMap(pod.metadata.annotations);
    case "spec.nodeName":
      return pod.spec.nodeName ?? "";
    case "spec.serviceAccountName":
      return pod.spec.serviceAccountName ?? "";
    case "status.hostIP":
      return hostIPs[0] ?? "";
    case "status.hostIPs":
      return hostIPs.join(",");
    case "status.podIP":
      return podIPs[0] ?? "";
    case "status.podIPs":
      return podIPs.join(",");
    default:
      throw new DownwardError(`unsupported fieldPath: ${fieldPath}`);
  }
}

/** The value in units of the divisor, rounded up. */
export function resourceValue(
  selector: ResourceFieldSelector,
  own: string | undefined,
  context: DownwardContext,
): string {
  const name = selector.containerName ?? own;
  const { pod } = context;
  const container: Container | undefined = [...pod.spec.containers, ...(pod.spec.initContainers ?? [])].find(
    (c) => c.name === name,
  );
  if (container === undefined) throw new DownwardError(`container ${name ?? ""} not found`);
  const [list, ...rest] = selector.resource.split(".");
  const resource = rest.join(".");
  const { limits = {}, requests = {} } = container.resources ?? {};
  const quantity =
    list === "limits"
      ? (limits[resource] ?? context.nodeAllocatable[resource])
      : (requests[resource] ?? limits[resource]);
  const divisor =
    selector.divisor === undefined || parseQuantity(selector.divisor).toNumber() === 0 ? "1" : selector.divisor;
  if (quantity === undefined) return "0";
  const scale = resource === "cpu" ? 1000 : 1;
  const value = Math.ceil(parseQuantity(quantity).toNumber() * scale - 1e-9);
  const unit = Math.max(1, Math.ceil(parseQuantity(divisor).toNumber() * scale - 1e-9));
  return String(Math.ceil(value / unit));
}
