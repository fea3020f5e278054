import type { Namespace, Service } from "#pkg/api/types/core-v1.ts";
import type { AdmissionAttributes, AdmissionPlugin } from "../../contract.ts";
import type { ObjectSource } from "../../source/index.ts";
import { isOn, objectAs, oldObjectAs, refusal } from "../attributes.ts";

/** Creates the namespace of a new object when it is missing. Off by default. */
export class NamespaceAutoProvision implements AdmissionPlugin {
  readonly name = "NamespaceAutoProvision";
  readonly sparesShared = true;
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
