import { isDns1123Label, type KubeObject } from "#pkg/apimachinery/index.ts";
import type { Container, PodSpec, PodTemplateSpec } from "../../types/core-v1.ts";
import { ipWarnings } from "../../validation/address-warnings.ts";
import { namedNodeLabelWarning, nodeLabelWarning, nodeTermWarnings } from "../../validation/node-labels.ts";
import { appArmorWarnings, deadAnnotationWarnings } from "./pod-annotations.ts";
import { fractionWarnings, volumeWarnings } from "./volume-warnings.ts";
import { containersOf } from "./windows.ts";

const BYTE_RESOURCES = ["memory", "ephemeral-storage"];

function containerWarnings(container: Container, path: string): string[] {
  const warnings: string[] = [];
  const env = container.env ?? [];
  const names = new Set<string>();
  for (let index = 0; index < env.length; index++) {
    const { name, value = "", valueFrom } = env[index]!;
    // A value that is made of the one before it, as A="$(A):more", is meant.
    const continues = value !== `$(${name})` && value.includes(`$(${name})`);
    if (names.has(name) && (valueFrom !== undefined || !continues)) {
      const what = `hides previous definition of ${JSON.stringify(name)}, which may be dropped when using apply`;
      warnings.push(`${path}.env[${index}]: ${what}`);
    }
    names.add(name);
  }
  for (const list of ["limits", "requests"] as const) {
    warnings.push(...fractionWarnings(container.resources?.[list], BYTE_RESOURCES, `${path}.resources.${list}`));
  }
  return warnings;
}

/** Ports of all containers that say the same twice, or leave open which of them is meant. */
function portWarnings(spec: PodSpec, path: string): string[] {
  const warnings: string[] = [];
  const seen = new Map<string, { readonly at: string; readonly hostIP: string; readonly hostPort: number }[]>();
  for (const [{ ports = [] }, container] of containersOf(spec, path)) {
    for (const [index, { name = "", containerPort, protocol = "", hostIP = "", hostPort = 0 }] of ports.entries()) {
      const at = `${container}.ports[${index}]`;
      if (hostIP !== "" && hostPort === 0) {
        const shown = `Name:${name} HostPort:0 ContainerPort:${containerPort} Protocol:${protocol} HostIP:${hostIP}`;
        warnings.push(`${at}: hostIP set without hostPort: {${shown}}`);
      }
      const key = `${containerPort}/${protocol}`;
      const others = seen.get(key) ?? [];
      for (const other of others) {
        const samePort = hostPort === other.hostPort;
        if (samePort && hostIP === other.hostIP) warnings.push(`${at}: duplicate port definition with ${other.at}`);
        else if (hostPort === 0 || other.hostPort === 0) {
          warnings.push(`${at}: overlapping port definition with ${other.at}`);
        } else if (samePort && (hostIP === "" || other.hostIP === "")) {
          warnings.push(`${at}: dangerously ambiguous port definition with ${other.at}`);
        }
      }
      seen.set(key, [...others, { at, hostIP, hostPort }]);
    }
  }
  return warnings;
}

const REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution";
const PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution";
const NO_SELECTOR = "a null labelSelector results in matching no pod";

function nodeChoiceWarnings(spec: PodSpec, path: string): string[] {
  const warnings: string[] = [];
  for (const label of Object.keys(spec.nodeSelector ?? {})) {
    warnings.push(...nodeLabelWarning(label, `${path}.nodeSelector[${label}]`));
  }
  const affinity = spec.affinity?.nodeAffinity;
  const at = `${path}.affinity.nodeAffinity`;
  for (const [index, term] of (affinity?.[REQUIRED]?.nodeSelectorTerms ?? []).entries()) {
    warnings.push(...nodeTermWarnings(term, `${at}.${REQUIRED}.nodeSelectorTerms[${index}]`, false));
  }
  for (const [index, { preference }] of (affinity?.[PREFERRED] ?? []).entries()) {
    warnings.push(...nodeTermWarnings(preference, `${at}.${PREFERRED}[${index}].preference`, true));
  }
  for (const [index, { topologyKey, labelSelector }] of (spec.topologySpreadConstraints ?? []).entries()) {
    const constraint = `${path}.topologySpreadConstraints[${index}]`;
    warnings.push(...namedNodeLabelWarning(topologyKey, `${constraint}.topologyKey`));
    if (labelSelector === undefined) warnings.push(`${constraint}.labelSelector: ${NO_SELECTOR}`);
  }
  return warnings;
}

function podAffinityWarnings({ affinity }: PodSpec, path: string): string[] {
  if (affinity === undefined) return [];
  return (["podAffinity", "podAntiAffinity"] as const).flatMap((field) => {
    const at = `${path}.affinity.${field}`;
    const required = affinity[field]?.[REQUIRED] ?? [];
    const preferred = affinity[field]?.[PREFERRED] ?? [];
    return [
      ...required.map((term, index) => [term, `${at}.${REQUIRED}[${index}]`] as const),
      ...preferred.map(
        (term, index) => [term.podAffinityTerm, `${at}.${PREFERRED}[${index}].podAffinityTerm`] as const,
      ),
    ].flatMap(([term, place]) => (term?.labelSelector === undefined ? [`${place}.labelSelector: ${NO_SELECTOR}`] : []));
  });
}

/** Names or addresses that are listed more than once. */
function repeatedWarnings(values: readonly string[], what: string, path: (index: number) => string): string[] {
  return values.flatMap((value, index) =>
    values.indexOf(value) < index ? [`${path(index)}: duplicate ${what} ${JSON.stringify(value)}`] : [],
  );
}

/** Things in a pod spec that are legal and will disappoint. */
export function podSpecWarnings(spec: PodSpec | undefined, path: string): string[] {
  if (spec === undefined) return [];
  const warnings = [...nodeChoiceWarnings(spec, path), ...volumeWarnings(spec, path)];
  const ips = (spec.hostAliases ?? []).map(({ ip }) => ip);
  warnings.push(...repeatedWarnings(ips, "ip", (index) => `${path}.hostAliases[${index}].ip`));
  const secrets = (spec.imagePullSecrets ?? []).map(({ name = "" }) => name);
  const secretAt = (index: number) => `${path}.imagePullSecrets[${index}].name`;
  warnings.push(...repeatedWarnings(secrets, "name", secretAt));
  for (const [index, name] of secrets.entries()) {
    if (name === "") warnings.push(`${secretAt(index)}: invalid empty name ""`);
  }
  warnings.push(...fractionWarnings(spec.overhead, BYTE_RESOURCES, `${path}.overhead`));
  for (const [container, at] of containersOf(spec, path)) warnings.push(...containerWarnings(container, at));
  warnings.push(...portWarnings(spec, path));
  if ((spec.terminationGracePeriodSeconds ?? 0) < 0) {
    const what = "must be >= 0; negative values are invalid and will be treated as 1";
    warnings.push(`${path}.terminationGracePeriodSeconds: ${what}`);
  }
  warnings.push(...podAffinityWarnings(spec, path));
  for (const [index, ip] of ips.entries()) warnings.push(...ipWarnings(ip, `${path}.hostAliases[${index}].ip`));
  for (const [index, ip] of (spec.dnsConfig?.nameservers ?? []).entries()) {
    warnings.push(...ipWarnings(ip, `${path}.dnsConfig.nameservers[${index}]`));
  }
  return warnings;
}

/** The same of a template, with its annotations. */
function podTemplateWarnings(template: PodTemplateSpec | undefined, path: string): string[] {
  const { metadata, spec } = template ?? {};
  if (spec === undefined) return [];
  const annotated = [metadata?.annotations, spec, `${path}.metadata`] as const;
  return [
    ...podSpecWarnings(spec, `${path}.spec`),
    ...deadAnnotationWarnings(...annotated),
    ...appArmorWarnings(...annotated),
  ];
}

type Named = { readonly metadata: KubeObject["metadata"] };

/** Of a name that becomes part of host names, where it is new. */
export function hostNameWarnings({ metadata }: Named, old: Named | undefined, use: string): string[] {
  const messages = old === undefined ? isDns1123Label(metadata.name ?? "") : [];
  if (messages.length === 0) return [];
  const hint = "which can result in surprising behavior; a DNS label is recommended";
  return [`metadata.name: this is used in ${use}, ${hint}: [${messages.join(" ")}]`];
}

/** Of a workload's template, whenever something that is wanted of the workload is new. */
export function templateWarnings(
  { metadata }: Named,
  old: Named | undefined,
  template: PodTemplateSpec | undefined,
  path: string,
): string[] {
  if (old !== undefined && old.metadata.generation === metadata.generation) return [];
  return podTemplateWarnings(template, path);
}

/** Of workloads whose pods are named after them. */
export function workloadWarnings(
  object: Named & { readonly spec?: { readonly template?: PodTemplateSpec } },
  old: Named | undefined,
): string[] {
  return [
    ...hostNameWarnings(object, old, "Pod names and hostnames"),
    ...templateWarnings(object, old, object.spec?.template, "spec.template"),
  ];
}
