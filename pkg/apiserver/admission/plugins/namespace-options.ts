import type { Namespace, Pod, Service } from "#pkg/api/types/core-v1.ts";
import type { AdmissionAttributes, AdmissionPlugin } from "../../contract.ts";
import type { ObjectSource } from "../../source/index.ts";
import { isOn, objectAs, oldObjectAs, refusal } from "../attributes.ts";

/** Creates the namespace of a new object when it is missing. Off by default. */
export class NamespaceAutoProvision implements AdmissionPlugin {
  readonly name = "NamespaceAutoProvision";
  readonly #namespaces: ObjectSource<Namespace>;
  readonly #create: (name: string) => Promise<void>;
  /** `create` resolves also when somebody else was faster. */
  constructor(namespaces: ObjectSource<Namespace>, create: (name: string) => Promise<void>) {
    this.#namespaces = namespaces;
    this.#create = create;
  }
  handles({ operation, resource, namespace, dryRun }: AdmissionAttributes): boolean {
    return operation === "CREATE" && namespace !== "" && resource.plural !== "namespaces" && !dryRun;
  }
  admit({ namespace }: AdmissionAttributes): void | Promise<void> {
    return this.#namespaces.get("", namespace) === undefined ? this.#create(namespace) : undefined;
  }
}

const SELECTOR_ANNOTATION = "scheduler.alpha.kubernetes.io/node-selector";

/** Binds all pods of a namespace to nodes with certain labels. Off by default. */
export class PodNodeSelector implements AdmissionPlugin {
  readonly name = "PodNodeSelector";
  readonly #namespaces: ObjectSource<Namespace>;
  constructor(namespaces: ObjectSource<Namespace>) {
    this.#namespaces = namespaces;
  }
  handles(attributes: AdmissionAttributes): boolean {
    return isOn(attributes, "", "pods", "CREATE");
  }
  admit(attributes: AdmissionAttributes): void {
    const text = this.#namespaces.get("", attributes.namespace)?.metadata.annotations?.[SELECTOR_ANNOTATION];
    const { spec } = objectAs<Pod>(attributes);
    if (text === undefined || spec === undefined) return;
    for (const term of text
      .split(",")
      .map((part) => part.trim())
      .filter((part) => part !== "")) {
      const [key = "", value = ""] = term.split("=").map((part) => part.trim());
      const own = spec.nodeSelector?.[key];
      if (own !== undefined && own !== value)
        throw refusal(attributes, "pod node label selector conflicts with its namespace node label selector");
      (spec.nodeSelector ??= {})[key] = value;
    }
  }
}

/** Nobody adds externalIPs to a Service. Off by default. */
export class DenyServiceExternalIPs implements AdmissionPlugin {
  readonly name = "DenyServiceExternalIPs";
  handles(attributes: AdmissionAttributes): boolean {
    return isOn(attributes, "", "services", "CREATE", "UPDATE");
  }
  validate(attributes: AdmissionAttributes): void {
    const old = new Set(oldObjectAs<Service>(attributes)?.spec?.externalIPs ?? []);
    if ((objectAs<Service>(attributes).spec?.externalIPs ?? []).some((ip) => !old.has(ip))) {
      throw refusal(attributes, "Use of external IPs is denied by admission control");
    }
  }
}
