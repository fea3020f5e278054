import { isValidLabelValue } from "#pkg/apimachinery/index.ts";
import type { Namespace, Node, Taint } from "../../types/core-v1.ts";
import {
  duplicate,
  each,
  type FieldError,
  forbidden,
  invalid,
  isCidr,
  isEmpty,
  ipFamily,
  oneOf,
  qualifiedName,
  sameValue,
  validCidr,
} from "../../validation/rules.ts";
import { TAINT_EFFECTS } from "./affinity.ts";
import { validateResourceQuantity } from "./resources.ts";

function validateTaints(taints: readonly Taint[] | undefined, path: string): FieldError[] {
  const seen = new Set<string>();
  return each(taints, path, ({ key, value, effect }, at) => {
    const errors = qualifiedName(key ?? "", `${at}.key`);
    const messages = isValidLabelValue(value ?? "");
    if (messages.length > 0) errors.push(invalid(`${at}.value`, value, messages.join(";")));
    errors.push(...oneOf(effect, TAINT_EFFECTS, `${at}.effect`));
    const pair = `${key}:${effect}`;
    if (seen.has(pair))
      errors.push({
        ...duplicate(at, { key, value, effect }),
        message: `Duplicate value: ${JSON.stringify({ key, value, effect })}: taints must be unique by key and effect pair`,
      });
    seen.add(pair);
    return errors;
  });
}

function validatePodCidrs({ podCIDR, podCIDRs = [] }: NonNullable<Node["spec"]>): FieldError[] {
  const errors: FieldError[] = [];
  if (podCIDRs.length === 0) return errors;
  errors.push(...each(podCIDRs, "spec.podCIDRs", validCidr));
  const families = podCIDRs.filter(isCidr).map((cidr) => ipFamily(cidr.split("/")[0]!));
  if (podCIDRs.length > 2 || new Set(families).size < families.length) {
    errors.push(invalid("spec.podCIDRs", podCIDRs, "may specify no more than one CIDR for each IP family"));
  }
  if (!isEmpty(podCIDR) && podCIDR !== podCIDRs[0]) {
    errors.push(invalid("spec.podCIDRs[0]", podCIDRs[0], "must match `podCIDR`"));
  }
  return errors;
}

export function validateNode({ spec = {}, status }: Node): FieldError[] {
  const errors: FieldError[] = [...validateTaints(spec.taints, "spec.taints")];
  for (const list of ["capacity", "allocatable"] as const) {
    for (const [name, amount] of Object.entries(status?.[list] ?? {})) {
      errors.push(
        ...qualifiedName(name, `status.${list}`),
        ...validateResourceQuantity(name, amount, `status.${list}[${name}]`),
      );
    }
  }
  const addresses = new Set<string>();
  errors.push(
    ...each(status?.addresses, "status.addresses", ({ type, address }, at) => {
      const key = `${type}/${address}`;
      const again = addresses.has(key);
      addresses.add(key);
      return again ? [duplicate(at, { type, address })] : [];
    }),
  );
  return [...errors, ...validatePodCidrs(spec)];
}

export function validateNodeUpdate(node: Node, old: Readonly<Node>): FieldError[] {
  const errors = validateNode(node);
  const spec = node.spec ?? {};
  const before = old.spec ?? {};
  // A pod CIDR may be set once; the whole list is compared because the first entry repeats podCIDR.
  const cidrs = spec.podCIDRs ?? (spec.podCIDR ? [spec.podCIDR] : []);
  const had = before.podCIDRs ?? (before.podCIDR ? [before.podCIDR] : []);
  if (had.length > 0 && !sameValue(cidrs, had)) {
    errors.push(forbidden("spec.podCIDRs", 'node updates may not change podCIDR except from "" to valid'));
  }
  if (!isEmpty(before.providerID) && before.providerID !== spec.providerID) {
    errors.push(forbidden("spec.providerID", 'node updates may not change providerID except from "" to valid'));
  }
  if (!isEmpty(spec.configSource) && !sameValue(spec.configSource, before.configSource)) {
    errors.push(forbidden("spec.configSource", "configSource may not be set"));
  }
  return errors;
}

export function validateNamespace(namespace: Namespace): FieldError[] {
  return each(namespace.spec?.finalizers, "spec.finalizers", validateFinalizerName);
}

/** A finalizer of Kubernetes' own, or one with the domain of whoever set it. */
function validateFinalizerName(name: string, path: string): FieldError[] {
  const errors = qualifiedName(name, path);
  if (errors.length > 0 || name.includes("/")) return errors;
  return name === "kubernetes"
    ? []
    : [invalid(path, name, "name is neither a standard finalizer name nor is it fully qualified")];
}

export function validateNamespaceStatus(namespace: Namespace): FieldError[] {
  const phase = namespace.status?.phase ?? "";
  if (namespace.metadata.deletionTimestamp === undefined) {
    return phase === "Active"
      ? []
      : [invalid("status.Phase", phase, "may only be 'Active' if `deletionTimestamp` is empty")];
  }
  return phase === "Terminating"
    ? []
    : [invalid("status.Phase", phase, "may only be 'Terminating' if `deletionTimestamp` is not empty")];
}
