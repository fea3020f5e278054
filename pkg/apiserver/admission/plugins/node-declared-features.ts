import type { Node, Pod } from "#pkg/api/types/core-v1.ts";
import { deepEqual, parseQuantity } from "#pkg/apimachinery/index.ts";
import type { AdmissionAttributes, AdmissionPlugin } from "../../contract.ts";
import type { ObjectSource } from "../../source/index.ts";
import { objectAs, oldObjectAs, refusal } from "../attributes.ts";

/** Features that an update of a pod can need of its node, by the name under which a node declares them. */
const NEEDED_BY_UPDATES: readonly { readonly name: string; readonly needs: (old: Pod, pod: Pod) => boolean }[] = [
  { name: "GuaranteedQoSPodCPUResize", needs: resizesGuaranteedCpu },
  {
    name: "InPlacePodLevelResourcesVerticalScaling",
    needs: (old, pod) => !deepEqual(old.spec.resources ?? {}, pod.spec.resources ?? {}),
  },
];

function resizesGuaranteedCpu(old: Pod, pod: Pod): boolean {
  if (old.status !== undefined && old.status.qosClass !== "Guaranteed") return false;
  return old.spec.containers.some(({ resources }, index) => {
    const before = parseQuantity(resources?.requests?.["cpu"] ?? "0");
    return before.cmp(parseQuantity(pod.spec.containers[index]?.resources?.requests?.["cpu"] ?? "0")) !== 0;
  });
}

/** Refuses an update that asks more of a pod's node than the node says it can do (KEP-5328). */
export class NodeDeclaredFeatureValidator implements AdmissionPlugin {
  readonly name = "NodeDeclaredFeatureValidator";
  readonly #nodes: ObjectSource<Node>;
  constructor(nodes: ObjectSource<Node>) {
    this.#nodes = nodes;
  }
  handles({ operation, resource, subresource }: AdmissionAttributes): boolean {
    if (operation !== "UPDATE" || resource.group !== "" || resource.plural !== "pods") return false;
    return subresource === "" || subresource === "resize";
  }
  validate(attributes: AdmissionAttributes): void {
    const pod = objectAs<Pod>(attributes);
    const old = oldObjectAs<Pod>(attributes);
    const nodeName = pod.spec?.nodeName ?? "";
    // The generation counts changes of the spec: without one nothing new is asked of the node.
    if (nodeName === "" || old === undefined || pod.metadata.generation === old.metadata.generation) return;
    const needed = NEEDED_BY_UPDATES.filter(({ needs }) => needs(old, pod));
    if (needed.length === 0) return;
    const node = this.#nodes.get("", nodeName);
    if (node === undefined) throw refusal(attributes, `node ${JSON.stringify(nodeName)} not found`);
    const missing = needed.map(({ name }) => name).filter((name) => !node.status?.declaredFeatures?.includes(name));
    if (missing.length === 0) return;
    const what = `pod update requires features ${missing.join(", ")}`;
    throw refusal(attributes, `${what} which are not available on node ${JSON.stringify(nodeName)}`);
  }
}
