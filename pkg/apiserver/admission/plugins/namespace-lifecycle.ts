import type { Namespace } from "#pkg/api/types/core-v1.ts";
import { forbidden, notFound } from "#pkg/apimachinery/index.ts";
import type { AdmissionAttributes, AdmissionPlugin } from "../../contract.ts";
import type { ObjectSource } from "../../source/index.ts";
import { refusal } from "../attributes.ts";

const IMMORTAL = new Set(["default", "kube-system", "kube-public"]);

/** Nothing is created in a namespace that is missing or on its way out; the system's namespaces are not deleted. */
export class NamespaceLifecycle implements AdmissionPlugin {
  readonly name = "NamespaceLifecycle";
  readonly sparesShared = true;
  readonly #namespaces: ObjectSource<Namespace>;
  readonly #lookup: (name: string) => Promise<Namespace | undefined>;

  /** `lookup` reads consistently: with several servers the cache may not have seen a new namespace yet. */
  constructor(namespaces: ObjectSource<Namespace>, lookup?: (name: string) => Promise<Namespace | undefined>) {
    this.#namespaces = namespaces;
    this.#lookup = lookup ?? (async (name) => namespaces.get("", name));
  }

  handles({ operation }: AdmissionAttributes): boolean {
    return operation !== "CONNECT";
  }

  admit(attributes: AdmissionAttributes): void | Promise<void> {
    const { operation, resource, namespace, name, subresource } = attributes;
    const isNamespace = resource.group === "" && resource.plural === "namespaces";
    if (isNamespace) {
      if (operation === "DELETE" && subresource === "" && IMMORTAL.has(name)) {
        throw forbidden({ group: "", resource: "namespaces" }, name, "this namespace may not be deleted");
      }
      return undefined;
    }
    if (namespace === "" || !resource.namespaced || operation === "DELETE") return undefined;
    if (resource.group === "authorization.k8s.io" && resource.plural === "localsubjectaccessreviews") return undefined;
    const found = this.#namespaces.get("", namespace);
    if (found === undefined) return this.#lookup(namespace).then((live) => check(attributes, live));
    return check(attributes, found);
  }
}

function check(attributes: AdmissionAttributes, namespace: Namespace | undefined): void {
  const name = attributes.namespace;
  if (namespace === undefined) throw notFound({ group: "", resource: "namespaces" }, name);
  const terminating = namespace.status?.phase === "Terminating" || namespace.metadata.deletionTimestamp !== undefined;
  if (attributes.operation !== "CREATE" || !terminating) return;
  throw refusal(attributes, `unable to create new content in namespace ${name} because it is being terminated`, [
    { reason: "NamespaceTerminating", message: `namespace ${name} is being terminated`, field: "metadata.namespace" },
  ]);
}
