import type { Namespace, Pod } from "#pkg/api/types/core-v1.ts";
import { isQualifiedName, isValidLabelValue, StatusError } from "#pkg/apimachinery/index.ts";
import type { AdmissionAttributes, AdmissionPlugin } from "../../contract.ts";
import type { ObjectSource } from "../../source/index.ts";
import { isOn, objectAs, ownSpec } from "../attributes.ts";

/** Of the configuration file: what pods of a namespace may select, and a selector for namespaces that have none. */
export type NodeSelectors = ReadonlyMap<string, string>;
type Labels = Readonly<Record<string, string>>;

const ANNOTATION = "scheduler.alpha.kubernetes.io/node-selector";
const CLUSTER_DEFAULT = "clusterDefaultNodeSelector";

/** Binds all pods of a namespace to nodes with certain labels. Off by default. */
export class PodNodeSelector implements AdmissionPlugin {
  readonly name = "PodNodeSelector";
  readonly #namespaces: ObjectSource<Namespace>;
  readonly #configured: NodeSelectors;
  constructor(namespaces: ObjectSource<Namespace>, configured: NodeSelectors = new Map()) {
    this.#namespaces = namespaces;
    this.#configured = configured;
  }
  handles(attributes: AdmissionAttributes): boolean {
    return isOn(attributes, "", "pods", "CREATE");
  }
  admit(attributes: AdmissionAttributes): void {
    const selector = this.#compatible(attributes);
    if (objectAs<Pod>(attributes).spec === undefined || Object.keys(selector).length === 0) return;
    const spec = ownSpec(attributes);
    spec.nodeSelector = { ...selector, ...spec.nodeSelector };
  }
  validate(attributes: AdmissionAttributes): void {
    this.#compatible(attributes);
    const allowed = labelsOf(this.#configured.get(attributes.namespace) ?? "");
    if (Object.keys(allowed).length === 0) return;
    const own = Object.entries(objectAs<Pod>(attributes).spec?.nodeSelector ?? {});
    if (own.some(([key, value]) => allowed[key] !== value))
      throw forbidden(attributes, "pod node label selector labels conflict with its namespace whitelist");
  }

  /** What the pod's namespace selects. @throws StatusError where the pod selects something else. */
  #compatible(attributes: AdmissionAttributes): Labels {
    const annotations = this.#namespaces.get("", attributes.namespace)?.metadata.annotations;
    const selector = labelsOf(annotations?.[ANNOTATION] ?? this.#configured.get(CLUSTER_DEFAULT) ?? "");
    const own = objectAs<Pod>(attributes).spec?.nodeSelector ?? {};
    if (Object.entries(selector).some(([key, value]) => own[key] !== undefined && own[key] !== value))
      throw forbidden(attributes, "pod node label selector conflicts with its namespace node label selector");
    return selector;
  }
}

/** @throws StatusError 500 when somebody wrote what is no selector: it is not the client's fault. */
function labelsOf(text: string): Labels {
  const labels: Record<string, string> = {};
  for (const term of text === "" ? [] : text.split(",")) {
    const [key = "", value = "", ...rest] = term.split("=").map((part) => part.trim());
    if (!term.includes("=") || rest.length > 0) throw broken(`invalid selector: [${term.split("=").join(" ")}]`);
    const wrong = [...isQualifiedName(key), ...isValidLabelValue(value)];
    if (wrong.length > 0) throw broken(`invalid selector: [${key} ${value}]: ${wrong.join("; ")}`);
    labels[key] = value;
  }
  return labels;
}

function broken(message: string): StatusError {
  return new StatusError({ status: "Failure", reason: "", message, code: 500 });
}

/** Worded with the name the pod has so far: none while only generateName is known. */
function forbidden({ name, object }: AdmissionAttributes, why: string): StatusError {
  const shown = name === "" ? (object?.metadata.name ?? "") : name;
  return new StatusError({
    status: "Failure",
    message: `pods ${JSON.stringify(shown)} is forbidden: ${why}`,
    reason: "Forbidden",
    details: { name: shown, kind: "pods" },
    code: 403,
  });
}
