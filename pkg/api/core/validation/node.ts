import { isValidLabelValue } from "#pkg/apimachinery/index.ts";
import type { Namespace, Node, Taint } from "../../types/core-v1.ts";
import { validateFinalizerName, validateFinalizerOwner } from "../../validation/finalizers.ts";
import {
  duplicate,
  each,
  type FieldError,
  forbidden,
  invalid,
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
  return each(taints, path, ({ key = "", value = "", effect = "", timeAdded }, at) => {
    const errors = qualifiedName(key, `${at}.key`);
    const messages = isValidLabelValue(value);
    if (messages.length > 0) errors.push(invalid(`${at}.value`, value, messages.join(";")));
    errors.push(...oneOf(effect, TAINT_EFFECTS, `${at}.effect`));
    const pair = `${key}:${effect}`;
    if (seen.has(pair)) {
      const error = duplicate(at, { Key: key, Value: value, Effect: effect, TimeAdded: timeAdded ?? null });
      errors.push({ ...error, message: `${error.message}: taints must be unique by key and effect pair` });
    }
    seen.add(pair);
    return errors;
  });
}

function validatePodCidrs({ podCIDRs = [] }: NonNullable<Node["spec"]>): FieldError[] {
  const path = "spec.podCIDRs";
  const errors = each(podCIDRs, path, validCidr);
  if (podCIDRs.length < 2) return errors;
  const families = new Set(podCIDRs.map((cidr) => ipFamily(cidr.split("/")[0]!)));
  if (families.size < 2 || podCIDRs.length > 2) {
    errors.push(invalid(path, podCIDRs, "may specify no more than one CIDR for each IP family"));
  }
  const again = (cidr: string, at: string, index: number): FieldError[] =>
    podCIDRs.indexOf(cidr) < index ? [duplicate(at, cidr)] : [];
  return [...errors, ...each(podCIDRs, path, again)];
}

function validateNodeResources({ status }: Node): FieldError[] {
  return (["capacity", "allocatable"] as const).flatMap((list) =>
    Object.entries(status?.[list] ?? {}).flatMap(([name, amount]) =>
      validateResourceQuantity(name, amount, `status.${list}.${name}`),
    ),
  );
}

/** Upstream reports taints as part of the metadata, where they once were. */
const TAINTS = "metadata.taints";

export const validateNode = (node: Node): FieldError[] => [
  ...validateTaints(node.spec?.taints, TAINTS),
  ...validateNodeResources(node),
  ...validatePodCidrs(node.spec ?? {}),
];

export function validateNodeUpdate(node: Node, old: Readonly<Node>): FieldError[] {
  const errors = validateNodeResources(node);
  const addresses = new Set<string>();
  errors.push(
    ...each(node.status?.addresses, "status.addresses", ({ type, address }, at) => {
      const key = `${type}/${address}`;
      const again = addresses.has(key);
      addresses.add(key);
      return again ? [duplicate(at, { Type: type, Address: address })] : [];
    }),
  );
  const spec = node.spec ?? {};
  const before = old.spec ?? {};
  // A pod CIDR may be set once; the whole list is compared because the first entry repeats podCIDR.
  const cidrs = spec.podCIDRs ?? (spec.podCIDR ? [spec.podCIDR] : []);
  const had = before.podCIDRs ?? (before.podCIDR ? [before.podCIDR] : []);
  const changed = had.length > 0 && !sameValue(cidrs, had);
  const differing = cidrs.length === had.length ? had.filter((cidr, index) => cidr !== cidrs[index]).length : 1;
  for (let left = changed ? differing : 0; left > 0; left--) {
    errors.push(forbidden("spec.podCIDRs", 'node updates may not change podCIDR except from "" to valid'));
  }
  if (!isEmpty(before.providerID) && before.providerID !== spec.providerID) {
    errors.push(forbidden("spec.providerID", 'node updates may not change providerID except from "" to valid'));
  }
  errors.push(...validateTaints(spec.taints, TAINTS));
  if ((spec.externalID ?? "") !== (before.externalID ?? "")) {
    errors.push(forbidden("spec.externalID", "may not be updated"));
  }
  return errors;
}

export function validateNamespace(namespace: Namespace): FieldError[] {
  return (namespace.spec?.finalizers ?? []).flatMap((name) => validateFinalizer(name, "spec.finalizers"));
}

/** Those who take finalizers away are told which. */
export const validateNamespaceFinalizers = (namespace: Namespace): FieldError[] =>
  each(namespace.spec?.finalizers, "spec.finalizers", validateFinalizer);

/** A finalizer of Kubernetes' own, or one with the domain of whoever set it. */
function validateFinalizer(name: string, path: string): FieldError[] {
  return [...validateFinalizerName(name, path), ...validateFinalizerOwner(name, path)];
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
