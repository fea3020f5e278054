import type { Pod, ResourceQuota as Quota } from "#pkg/api/types/core-v1.ts";
import { constraintError, consumes, inScope, type ResourceList, usageOf } from "#pkg/api/quota/index.ts";
import { parseQuantity, type Quantity } from "#pkg/apimachinery/index.ts";
import type { Clock } from "#pkg/util/index.ts";
import type { AdmissionAttributes, AdmissionPlugin } from "../../contract.ts";
import type { ObjectSource } from "../../source/index.ts";
import { objectAs, refusal } from "../attributes.ts";
import { type Charge, QuotaAccountant, type QuotaCache } from "./accountant.ts";

const ZERO = parseQuantity("0");

/** Charges every create (and growth by update) to the namespace's quotas before the object is written. */
export class ResourceQuota implements AdmissionPlugin {
  readonly name = "ResourceQuota";
  readonly #quotas: ObjectSource<Quota>;
  readonly #accountant: QuotaAccountant;
  readonly #clock: Clock;
  readonly #charges = new WeakMap<AdmissionAttributes, Charge>();

  constructor(quotas: ObjectSource<Quota>, cache: QuotaCache, clock: Clock) {
    this.#quotas = quotas;
    this.#accountant = new QuotaAccountant(cache);
    this.#clock = clock;
  }

  handles({ operation, resource, subresource, namespace, object }: AdmissionAttributes): boolean {
    if (namespace === "" || object === undefined || !resource.namespaced) return false;
    if (operation === "CREATE") return subresource === "" && resource.etcdPrefix !== undefined;
    if (operation !== "UPDATE" || resource.group !== "") return false;
    if (resource.plural === "pods") return subresource === "resize";
    return subresource === "" && (resource.plural === "services" || resource.plural === "persistentvolumeclaims");
  }

  validate(attributes: AdmissionAttributes): void | Promise<void> {
    const quotas = this.#quotas.list(attributes.namespace);
    if (quotas.length === 0) return undefined;
    const interesting = quotas.filter((quota) => this.#covers(quota, attributes));
    if (interesting.length === 0) return undefined;
    const delta = this.#delta(attributes);
    const deltas = new Map<string, ResourceList>();
    for (const quota of interesting) {
      const hard = quota.status?.hard ?? {};
      const masked = new Map([...delta].filter(([name]) => hard[name] !== undefined));
      if (masked.size > 0) deltas.set(quota.metadata.name, masked);
    }
    if (deltas.size === 0) return undefined;
    const charge: Charge = {
      namespace: attributes.namespace,
      deltas,
      dryRun: attributes.dryRun,
      refuse: (message) => refusal(attributes, message),
    };
    return this.#accountant.charge(charge).then(() => {
      this.#charges.set(attributes, charge);
    });
  }

  settle(attributes: AdmissionAttributes, stored: boolean): void | Promise<void> {
    const charge = this.#charges.get(attributes);
    this.#charges.delete(attributes);
    return charge === undefined || stored ? undefined : this.#accountant.release(charge);
  }

  /** Does the quota limit something this object consumes? @throws StatusError when the object has to say how much. */
  #covers(quota: Quota, attributes: AdmissionAttributes): boolean {
    const { group, plural } = attributes.resource;
    const object = attributes.object!;
    const hard = Object.keys(quota.status?.hard ?? {});
    const restricted = hard.filter((name) => consumes(group, plural, name));
    if (restricted.length === 0 || !inScope(quota, group, plural, object)) return false;
    if (group === "" && plural === "pods") {
      const missing = constraintError(objectAs<Pod>(attributes), restricted);
      if (missing !== undefined) throw refusal(attributes, `failed quota: ${quota.metadata.name}: ${missing}`);
    }
    const unknown = restricted.filter((name) => quota.status?.used?.[name] === undefined);
    if (unknown.length > 0) {
      throw refusal(
        attributes,
        `status unknown for quota: ${quota.metadata.name}, resources: ${restricted.sort().join(",")}`,
      );
    }
    return true;
  }

  /** What the request adds; shrinking is booked by the quota controller, not here. */
  #delta({ resource, object, oldObject, operation }: AdmissionAttributes): ResourceList {
    const usage: Map<string, Quantity> = usageOf(resource.group, resource.plural, object!, this.#clock);
    if (operation === "UPDATE" && oldObject !== undefined) {
      for (const [name, before] of usageOf(resource.group, resource.plural, oldObject, this.#clock)) {
        const now = usage.get(name);
        if (now !== undefined) usage.set(name, now.sub(before));
      }
    }
    for (const [name, quantity] of usage) if (quantity.cmp(ZERO) <= 0) usage.delete(name);
    return usage;
  }
}
