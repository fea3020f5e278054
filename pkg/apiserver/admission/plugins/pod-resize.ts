import type { Node, Pod } from "#pkg/api/types/core-v1.ts";
import { podRequests } from "#pkg/api/quota/index.ts";
import { parseQuantity } from "#pkg/apimachinery/index.ts";
import type { AdmissionAttributes, AdmissionPlugin } from "../../contract.ts";
import type { ObjectSource } from "../../source/index.ts";
import { objectAs, oldObjectAs, refusal } from "../attributes.ts";

const OS = "kubernetes.io/os";

/** Refuses a resize that the pod's node can never grant: more than it has to give, or no Linux. */
export class PodResizeValidator implements AdmissionPlugin {
  readonly name = "PodResizeValidator";
  readonly #nodes: ObjectSource<Node>;
  constructor(nodes: ObjectSource<Node>) {
    this.#nodes = nodes;
  }
  handles({ operation, resource, subresource }: AdmissionAttributes): boolean {
    return operation === "UPDATE" && resource.group === "" && resource.plural === "pods" && subresource === "resize";
  }
  validate(attributes: AdmissionAttributes): void {
    const pod = objectAs<Pod>(attributes);
    const nodeName = pod.spec?.nodeName ?? "";
    // The generation counts changes of the spec: without one there is nothing to judge.
    if (nodeName === "" || pod.metadata.generation === oldObjectAs<Pod>(attributes)?.metadata.generation) return;
    const node = this.#nodes.get("", nodeName);
    if (node === undefined) throw refusal(attributes, `node ${JSON.stringify(nodeName)} not found`);
    const missing = beyondAllocatable(pod, node);
    if (missing.length > 0) {
      const why = `Node didn't have enough allocatable resources: ${missing.join("; ")}`;
      throw refusal(attributes, why, [{ reason: "NodeCapacity" }]);
    }
    const os = node.metadata.labels?.[OS] ?? "";
    if (os === "linux") return;
    const why = `pod resize is only supported on linux nodes, node ${JSON.stringify(nodeName)} is ${JSON.stringify(os)}`;
    throw refusal(attributes, why, [{ reason: "UnsupportedPlatform" }]);
  }
}

function beyondAllocatable(pod: Pod, node: Node): string[] {
  const requests = podRequests(pod);
  const allocatable = (name: string) => parseQuantity(node.status?.allocatable?.[name] ?? "0");
  const cpu = [requests.get("cpu")?.milliValue() ?? 0, allocatable("cpu").milliValue()] as const;
  const memory = [requests.get("memory")?.value() ?? 0, allocatable("memory").value()] as const;
  return Object.entries({ cpu, memory })
    .filter(([, [wanted, there]]) => wanted > there)
    .map(([name, [wanted, there]]) => `${name}, requested: ${wanted}, allocatable: ${there}`);
}
