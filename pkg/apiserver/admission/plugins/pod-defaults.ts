import type { Node, Pod, PodSpec, Toleration } from "#pkg/api/types/core-v1.ts";
import type { AdmissionAttributes, AdmissionPlugin } from "../../contract.ts";
import type { ObjectSource } from "../../source/index.ts";
import { changeSpec, isOn, objectAs, oldObjectAs, ownSpec, refusal } from "../attributes.ts";

const NOT_READY = "node.kubernetes.io/not-ready";
const UNREACHABLE = "node.kubernetes.io/unreachable";

/** Pods stay on a node that has become unusable for five minutes, unless they say otherwise. */
export class DefaultTolerationSeconds implements AdmissionPlugin {
  readonly name = "DefaultTolerationSeconds";
  readonly sparesShared = true;
  readonly #seconds: Readonly<Record<string, number>>;
  constructor(notReadySeconds = 300, unreachableSeconds = 300) {
    this.#seconds = { [NOT_READY]: notReadySeconds, [UNREACHABLE]: unreachableSeconds };
  }
  handles(attributes: AdmissionAttributes): boolean {
    return isOn(attributes, "", "pods", "CREATE", "UPDATE");
  }
  admit(attributes: AdmissionAttributes): void {
    const pod = objectAs<Pod>(attributes);
    if (pod.spec === undefined) return;
    const complete = (spec: PodSpec) => void (spec.tolerations ??= []).push(...this.#missing(spec));
    if (attributes.operation === "CREATE") changeSpec(pod, this.name, complete);
    else if (this.#missing(pod.spec).length > 0) complete(ownSpec(attributes));
  }

  #missing({ tolerations = [] }: PodSpec): Toleration[] {
    return Object.entries(this.#seconds)
      .filter(([key]) => !tolerations.some((toleration) => tolerates(key, toleration)))
      .map(([key, tolerationSeconds]) => ({ key, operator: "Exists", effect: "NoExecute", tolerationSeconds }));
  }
}

function tolerates(taint: string, { key = "", effect = "" }: Toleration): boolean {
  return (key === taint || key === "") && (effect === "NoExecute" || effect === "");
}

/** A new node is not scheduled to before its conditions have been seen. */
export class TaintNodesByCondition implements AdmissionPlugin {
  readonly name = "TaintNodesByCondition";
  handles(attributes: AdmissionAttributes): boolean {
    return isOn(attributes, "", "nodes", "CREATE");
  }
  admit(attributes: AdmissionAttributes): void {
    const node = objectAs<Node>(attributes);
    const taints = ((node.spec ??= {}).taints ??= []);
    if (!taints.some(({ key, effect }) => key === NOT_READY && effect === "NoSchedule")) {
      taints.push({ key: NOT_READY, effect: "NoSchedule" });
    }
  }
}

/** Every image is pulled anew, so that credentials are checked each time. Off by default. */
export class AlwaysPullImages implements AdmissionPlugin {
  readonly name = "AlwaysPullImages";
  handles(attributes: AdmissionAttributes): boolean {
    return isOn(attributes, "", "pods", "CREATE", "UPDATE");
  }
  admit(attributes: AdmissionAttributes): void {
    const { spec } = objectAs<Pod>(attributes);
    const old = oldObjectAs<Pod>(attributes);
    const known = new Set(
      [...(old?.spec?.initContainers ?? []), ...(old?.spec?.containers ?? [])].map(({ image }) => image),
    );
    for (const container of [...(spec?.initContainers ?? []), ...(spec?.containers ?? [])]) {
      // On update only a changed image is a new pull.
      if (old === undefined || !known.has(container.image)) container.imagePullPolicy = "Always";
    }
  }
  validate(attributes: AdmissionAttributes): void {
    if (attributes.operation !== "CREATE") return;
    const { spec } = objectAs<Pod>(attributes);
    for (const { imagePullPolicy, name } of [...(spec?.initContainers ?? []), ...(spec?.containers ?? [])]) {
      if (imagePullPolicy !== "Always") {
        throw refusal(
          attributes,
          `spec.containers[${name}].imagePullPolicy: Unsupported value: ${JSON.stringify(imagePullPolicy)}: supported values: "Always"`,
        );
      }
    }
  }
}

const TOPOLOGY_LABELS = ["topology.kubernetes.io/zone", "topology.kubernetes.io/region"];

/** Copies the node's topology labels to a pod when it is bound (KEP-4742). */
export class PodTopologyLabels implements AdmissionPlugin {
  readonly name = "PodTopologyLabels";
  readonly sparesShared = true;
  readonly #nodes: ObjectSource<Node>;
  constructor(nodes: ObjectSource<Node>) {
    this.#nodes = nodes;
  }
  handles({ resource, operation, subresource }: AdmissionAttributes): boolean {
    if (resource.group !== "" || operation !== "CREATE") return false;
    return (
      (resource.plural === "pods" && (subresource === "" || subresource === "binding")) ||
      resource.plural === "bindings"
    );
  }
  admit(attributes: AdmissionAttributes): void {
    const { object } = attributes;
    if (object === undefined) return;
    const binding = attributes.resource.plural === "bindings" || attributes.subresource === "binding";
    const target = binding ? (object["target"] as { kind?: string; name?: string } | undefined) : undefined;
    if (target?.kind !== undefined && target.kind !== "" && target.kind !== "Node") return;
    const nodeName = binding ? target?.name : (object["spec"] as Pod["spec"])?.nodeName;
    if (nodeName === undefined || nodeName === "") return;
    const labels = this.#nodes.get("", nodeName)?.metadata.labels ?? {};
    for (const label of TOPOLOGY_LABELS) {
      if (labels[label] !== undefined) (object.metadata.labels ??= {})[label] = labels[label];
    }
  }
}
