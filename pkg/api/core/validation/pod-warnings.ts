import { parseQuantity } from "#pkg/apimachinery/index.ts";
import type { Container, PodSpec, PodTemplateSpec } from "../../types/core-v1.ts";
import { appArmorWarnings, deadAnnotationWarnings } from "./pod-annotations.ts";

/** Node labels that have a successor. */
const DEPRECATED_NODE_LABELS: ReadonlyMap<string, string> = new Map([
  ["beta.kubernetes.io/arch", 'deprecated since v1.14; use "kubernetes.io/arch" instead'],
  ["beta.kubernetes.io/os", 'deprecated since v1.14; use "kubernetes.io/os" instead'],
  ["failure-domain.beta.kubernetes.io/region", 'deprecated since v1.17; use "topology.kubernetes.io/region" instead'],
  ["failure-domain.beta.kubernetes.io/zone", 'deprecated since v1.17; use "topology.kubernetes.io/zone" instead'],
  ["beta.kubernetes.io/instance-type", 'deprecated since v1.17; use "node.kubernetes.io/instance-type" instead'],
]);

function deprecatedVolumes(spec: PodSpec, path: string): string[] {
  return (spec.volumes ?? []).flatMap((volume, index) => {
    const at = `${path}.volumes[${index}]`;
    if (volume.gitRepo !== undefined) return [`${at}.gitRepo: deprecated in v1.11`];
    if (volume.glusterfs !== undefined) {
      return [`${at}.glusterfs: deprecated in v1.25, this feature will be completely removed in a future release`];
    }
    if (volume.scaleIO !== undefined) return [`${at}.scaleIO: deprecated in v1.16, non-functional in v1.22+`];
    return [];
  });
}

const LISTS = ["limits", "requests"] as const;
const BYTE_RESOURCES = ["memory", "ephemeral-storage"];

function containerWarnings(container: Container, path: string): string[] {
  const warnings: string[] = [];
  const env = container.env ?? [];
  const names = new Set<string>();
  for (let index = 0; index < env.length; index++) {
    const { name } = env[index]!;
    if (names.has(name)) {
      const what = `hides previous definition of ${JSON.stringify(name)}, which may be dropped when using apply`;
      warnings.push(`${path}.env[${index}]: ${what}`);
    }
    names.add(name);
  }
  for (const list of LISTS) {
    const amounts = container.resources?.[list];
    if (amounts === undefined) continue;
    for (const name of BYTE_RESOURCES) {
      const amount = amounts[name];
      if (amount === undefined || parseQuantity(amount).isInteger()) continue;
      const what = `fractional byte value ${JSON.stringify(String(amount))} is invalid, must be an integer`;
      warnings.push(`${path}.resources.${list}[${name}]: ${what}`);
    }
  }
  return warnings;
}

/** Things in a pod spec that are legal and will disappoint. */
export function podSpecWarnings(spec: PodSpec | undefined, path: string): string[] {
  if (spec === undefined) return [];
  const warnings: string[] = [];
  for (const label of Object.keys(spec.nodeSelector ?? {})) {
    const message = DEPRECATED_NODE_LABELS.get(label);
    if (message !== undefined) warnings.push(`${path}.nodeSelector[${label}]: ${message}`);
  }
  if (spec.hostAliases !== undefined) {
    const seen = new Set<string>();
    for (const [index, { ip }] of spec.hostAliases.entries()) {
      if (seen.has(ip)) warnings.push(`${path}.hostAliases[${index}].ip: duplicate ip ${JSON.stringify(ip)}`);
      seen.add(ip);
    }
  }
  warnings.push(...deprecatedVolumes(spec, path));
  for (const [index, secret] of (spec.imagePullSecrets ?? []).entries()) {
    if (!secret.name) {
      warnings.push(`${path}.imagePullSecrets[${index}].name: invalid empty name ${JSON.stringify(secret.name ?? "")}`);
    }
  }
  for (const field of ["initContainers", "containers"] as const) {
    for (const [index, container] of (spec[field] ?? []).entries()) {
      const found = containerWarnings(container, `${path}.${field}[${index}]`);
      if (found.length > 0) warnings.push(...found);
    }
  }
  if ((spec.terminationGracePeriodSeconds ?? 0) < 0) {
    const what = "must be >= 0; negative values are invalid and will be treated as 1";
    warnings.push(`${path}.terminationGracePeriodSeconds: ${what}`);
  }
  return warnings;
}

/** The same of a template, with its annotations. */
export function podTemplateWarnings(template: PodTemplateSpec | undefined, path: string): string[] {
  const { metadata, spec } = template ?? {};
  if (spec === undefined) return [];
  const annotated = [metadata?.annotations, spec, `${path}.metadata`] as const;
  return [
    ...podSpecWarnings(spec, `${path}.spec`),
    ...deadAnnotationWarnings(...annotated),
    ...appArmorWarnings(...annotated),
  ];
}
