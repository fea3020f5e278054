import {
  findOnce,
  isDns1123Label,
  isDns1123SubdomainWithUnderscore,
  isQualifiedName,
  validateAnnotations,
  validateLabels,
} from "#pkg/apimachinery/index.ts";
import type { Pod, PodDNSConfig, PodSpec, PodTemplateSpec } from "../../types/core-v1.ts";
import {
  allInvalid,
  dnsLabel,
  dnsSubdomain,
  duplicate,
  each,
  type FieldError,
  forbidden,
  inRange,
  invalid,
  isEmpty,
  MAX_INT32,
  oneOf,
  required,
  validIp,
} from "../../validation/rules.ts";
import { validateAffinity, validateSpreadConstraints, validateTolerations } from "./affinity.ts";
import {
  type ContainerContext,
  validateContainers,
  validateEphemeralContainers,
  validateHostNetworkPorts,
  validateImagePadding,
  validateInitContainers,
} from "./containers.ts";
import { validatePodAnnotations, validateProfilesAgree } from "./pod-annotations.ts";
import { validatePodResources, validateResources } from "./resources.ts";
import { validateHostUsers, validatePodSecurityContext } from "./security.ts";
import { validateVolumes } from "./volumes.ts";
import { validateHostProcess, validateOs } from "./windows.ts";

const RESTART_POLICIES = ["Always", "OnFailure", "Never"];
const DNS_POLICIES = ["ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"];
const MAX_NAMESERVERS = 3;
const MAX_SEARCHES = 32;
const MAX_SEARCH_CHARACTERS = 2048;

function validateDnsConfig(config: PodDNSConfig | undefined, policy: string | undefined, path: string): FieldError[] {
  const errors: FieldError[] = [];
  const at = `${path}.dnsConfig`;
  const nameservers = config?.nameservers ?? [];
  if (policy === "None") {
    if (config === undefined) return [required(at, "must provide `dnsConfig` when `dnsPolicy` is None")];
    if (nameservers.length === 0) {
      return [required(`${at}.nameservers`, "must provide at least one DNS nameserver when `dnsPolicy` is None")];
    }
  }
  if (config === undefined) return errors;
  if (nameservers.length > MAX_NAMESERVERS) {
    errors.push(invalid(`${at}.nameservers`, nameservers, `must not have more than ${MAX_NAMESERVERS} nameservers`));
  }
  errors.push(...each(nameservers, `${at}.nameservers`, validIp));
  const searches = config.searches ?? [];
  if (searches.length > MAX_SEARCHES) {
    errors.push(invalid(`${at}.searches`, searches, `must not have more than ${MAX_SEARCHES} search paths`));
  }
  if (searches.join(" ").length > MAX_SEARCH_CHARACTERS) {
    const why = `must not have more than ${MAX_SEARCH_CHARACTERS} characters (including spaces) in the search list`;
    errors.push(invalid(`${at}.searches`, searches, why));
  }
  errors.push(
    ...each(searches, `${at}.searches`, (search, item) => {
      const name = search.replace(/\.$/, "");
      return search === "." ? [] : allInvalid(item, name, isDns1123SubdomainWithUnderscore(name));
    }),
    ...each(config.options, `${at}.options`, ({ name }, item) =>
      isEmpty(name) ? [required(item, "must not be empty")] : [],
    ),
  );
  return errors;
}

function validateGates(spec: PodSpec, path: string): FieldError[] {
  const seen = new Set<string>();
  return [
    ...each(spec.readinessGates, `${path}.readinessGates`, ({ conditionType }, at) =>
      allInvalid(`${at}.conditionType`, conditionType ?? "", isQualifiedName(conditionType ?? "")),
    ),
    ...each(spec.schedulingGates, `${path}.schedulingGates`, ({ name }, at) => {
      const errors = allInvalid(at, name ?? "", isQualifiedName(name ?? ""));
      if (seen.has(name)) errors.push(duplicate(at, name));
      seen.add(name);
      return errors;
    }),
  ];
}

function validateClaims(spec: PodSpec, path: string): FieldError[] {
  const seen = new Set<string>();
  return each(spec.resourceClaims, `${path}.resourceClaims`, (claim, at) => {
    const errors: FieldError[] = [];
    if (isEmpty(claim.name)) errors.push(required(`${at}.name`));
    else if (seen.has(claim.name)) errors.push(duplicate(`${at}.name`, claim.name));
    else errors.push(...dnsLabel(claim.name, `${at}.name`));
    seen.add(claim.name);
    const { resourceClaimName, resourceClaimTemplateName } = claim;
    if (resourceClaimName !== undefined && resourceClaimTemplateName !== undefined) {
      const why = "at most one of `resourceClaimName` or `resourceClaimTemplateName` may be specified";
      errors.push(invalid(at, claim, why));
    }
    if (resourceClaimName === undefined && resourceClaimTemplateName === undefined) {
      errors.push(invalid(at, claim, "must specify one of: `resourceClaimName`, `resourceClaimTemplateName`"));
    }
    if (resourceClaimName !== undefined) errors.push(...dnsSubdomain(resourceClaimName, `${at}.resourceClaimName`));
    if (resourceClaimTemplateName !== undefined) {
      errors.push(...dnsSubdomain(resourceClaimTemplateName, `${at}.resourceClaimTemplateName`));
    }
    return errors;
  });
}

/** Longest host name that Linux lets a machine have. */
const MAX_HOSTNAME = 64;

/** A host name given outright leaves no room for the fields that would make one (KEP-4762). */
function validateHostnameOverride(spec: PodSpec, path: string): FieldError[] {
  const name = spec.hostnameOverride;
  if (name === undefined) return [];
  const errors = dnsSubdomain(name, path);
  if (name.length > MAX_HOSTNAME) errors.push(invalid(path, name, `must be no more than ${MAX_HOSTNAME} characters`));
  if (spec.hostNetwork === true) errors.push(forbidden(path, "may not be set when hostNetwork is true"));
  if (spec.setHostnameAsFQDN === true) errors.push(forbidden(path, "may not be set when setHostnameAsFQDN is true"));
  return errors;
}

/** Names of objects and hosts that the spec refers to. */
function validateNames(spec: PodSpec, path: string): FieldError[] {
  const errors: FieldError[] = [];
  const subdomain = (value: string | undefined, field: string) => {
    if (!isEmpty(value)) errors.push(...dnsSubdomain(value!, `${path}.${field}`));
  };
  subdomain(spec.serviceAccountName, "serviceAccountName");
  subdomain(spec.nodeName, "nodeName");
  errors.push(...inRange(spec.activeDeadlineSeconds, 1, MAX_INT32, `${path}.activeDeadlineSeconds`));
  if (!isEmpty(spec.hostname))
    errors.push(...allInvalid(`${path}.hostname`, spec.hostname, isDns1123Label(spec.hostname!)));
  if (!isEmpty(spec.subdomain)) {
    errors.push(...allInvalid(`${path}.subdomain`, spec.subdomain, isDns1123Label(spec.subdomain!)));
  }
  errors.push(...validateHostnameOverride(spec, `${path}.hostnameOverride`));
  errors.push(...validateTolerations(spec.tolerations, `${path}.tolerations`));
  errors.push(
    ...each(spec.hostAliases, `${path}.hostAliases`, ({ ip, hostnames }, at) => [
      ...validIp(ip ?? "", `${at}.ip`),
      ...each(hostnames, `${at}.hostnames`, dnsSubdomain),
    ]),
  );
  subdomain(spec.priorityClassName, "priorityClassName");
  if (spec.runtimeClassName !== undefined) {
    errors.push(...dnsSubdomain(spec.runtimeClassName, `${path}.runtimeClassName`));
  }
  if (spec.preemptionPolicy !== undefined) {
    errors.push(...oneOf(spec.preemptionPolicy, PREEMPTION_POLICIES, `${path}.preemptionPolicy`));
  }
  errors.push(...validateResources({ limits: spec.overhead }, NO_CLAIMS, `${path}.overhead`));
  return [...errors, ...validateOs(spec, path)];
}

const PREEMPTION_POLICIES = ["PreemptLowerPriority", "Never"];
const NO_CLAIMS: ReadonlySet<string> = new Set();

/** What a spec is part of: templates are judged more mildly, and a pod's name is part of the names of its claims. */
interface Owner {
  readonly isPod: boolean;
  readonly podName?: string;
}

function validatePodSpec(spec: PodSpec, path: string, { isPod, podName }: Owner): FieldError[] {
  const volumes = validateVolumes(spec.volumes, podName, `${path}.volumes`);
  const context: ContainerContext = {
    spec,
    volumes: volumes.valid,
    claims: new Set((spec.resourceClaims ?? []).map(({ name }) => name).filter((name) => !isEmpty(name))),
  };
  return [
    ...volumes.errors,
    ...validateClaims(spec, path),
    ...validateContainers(context, `${path}.containers`),
    ...validateInitContainers(context, `${path}.initContainers`),
    ...validateEphemeralContainers(context, `${path}.ephemeralContainers`),
    ...validatePodResources(spec, path),
    ...validateHostNetworkPorts(spec, isPod, `${path}.containers`),
    ...oneOf(spec.restartPolicy, RESTART_POLICIES, `${path}.restartPolicy`),
    ...oneOf(spec.dnsPolicy, DNS_POLICIES, `${path}.dnsPolicy`),
    ...validateLabels(spec.nodeSelector, `${path}.nodeSelector`),
    ...validatePodSecurityContext(spec, path),
    ...validateAffinity(spec.affinity, `${path}.affinity`),
    ...validateDnsConfig(spec.dnsConfig, spec.dnsPolicy, path),
    ...validateGates(spec, path),
    ...validateSpreadConstraints(spec.topologySpreadConstraints, `${path}.topologySpreadConstraints`),
    ...validateHostProcess(spec, path),
    ...validateHostUsers(spec, path),
    ...validateNames(spec, path),
    ...(isPod ? validateOnlyPods(spec, path) : []),
  ];
}

/** Rules that came too late for templates, which had been stored without them. */
function validateOnlyPods(spec: PodSpec, path: string): FieldError[] {
  const errors: FieldError[] = [];
  if (isEmpty(spec.serviceAccountName)) {
    for (const [index, { projected }] of (spec.volumes ?? []).entries()) {
      for (const [position, { serviceAccountToken }] of (projected?.sources ?? []).entries()) {
        if (serviceAccountToken === undefined) continue;
        const at = `${path}.volumes[${index}].projected.sources[${position}].serviceAccountToken`;
        errors.push(forbidden(at, "must not be specified when serviceAccountName is not set"));
      }
    }
  }
  return [
    ...errors,
    ...each(spec.containers, `${path}.containers`, validateImagePadding),
    ...each(spec.initContainers, `${path}.initContainers`, validateImagePadding),
  ];
}

export function validateTemplateMetadata(template: PodTemplateSpec | undefined, path: string): FieldError[] {
  const { metadata: { labels, annotations } = {}, spec } = template ?? {};
  const at = `${path}.annotations`;
  return [
    ...validateLabels(labels, `${path}.labels`),
    ...validateAnnotations(annotations, at),
    ...validatePodAnnotations(annotations, spec ?? NO_CONTAINERS, at),
  ];
}

const NO_CONTAINERS: PodSpec = { containers: [] };

/** A pod template inside another kind. */
export function validatePodTemplate(template: PodTemplateSpec | undefined, path: string): FieldError[] {
  const spec = template?.spec ?? NO_CONTAINERS;
  return [
    ...validateTemplateMetadata(template, path),
    ...validatePodSpec(spec, `${path}.spec`, { isPod: false }),
    ...validateProfilesAgree(template?.metadata?.annotations, spec, `${path}.spec`),
    ...((spec.ephemeralContainers ?? []).length > 0
      ? [forbidden(`${path}.spec.ephemeralContainers`, "ephemeral containers not allowed in pod template")]
      : []),
  ];
}

/** Rules of every write to a Pod. */
export function validatePod(pod: Pod): FieldError[] {
  const spec = pod.spec ?? NO_CONTAINERS;
  // Only claims that a pod's volumes make for it have to do with its name.
  const named = spec.volumes?.some(({ ephemeral }) => ephemeral !== undefined) === true;
  const errors = named
    ? validatePodSpec(spec, "spec", { isPod: true, podName: pod.metadata.name ?? "" })
    : findOnce(spec, validatePodSpec, () => validatePodSpec(spec, "spec", { isPod: true }));
  return [...validatePodAnnotations(pod.metadata.annotations, spec, "metadata.annotations"), ...errors];
}

export function validatePodCreate(pod: Pod): FieldError[] {
  const errors = validatePod(pod);
  const spec = pod.spec ?? NO_CONTAINERS;
  if ((spec.ephemeralContainers ?? []).length > 0) {
    errors.push(forbidden("spec.ephemeralContainers", "cannot be set on create"));
  }
  if ((spec.schedulingGates ?? []).length > 0 && !isEmpty(spec.nodeName)) {
    errors.push(forbidden("spec.nodeName", "cannot be set until all schedulingGates have been cleared"));
  }
  errors.push(...validateProfilesAgree(pod.metadata.annotations, spec, "spec"));
  return errors;
}
