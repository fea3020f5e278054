import type { Namespace, Pod, PodTemplateSpec } from "#pkg/api/types/core-v1.ts";
import { type FieldError, fieldInvalid, invalid } from "#pkg/apimachinery/index.ts";
import type { AdmissionAttributes, AdmissionPlugin } from "../../contract.ts";
import type { ObjectSource } from "../../source/index.ts";
import { objectAs, oldObjectAs, refusal } from "../attributes.ts";
import type { PodSecurityExemptions } from "../configuration.ts";
import { describeViolations, type Level, LEVELS, type LevelVersion, showLevel, violations } from "./policy.ts";

const PREFIX = "pod-security.kubernetes.io/";
const MODES = ["enforce", "audit", "warn"] as const;
type Mode = (typeof MODES)[number];
type Policy = Readonly<Record<Mode, LevelVersion>>;

const PRIVILEGED: LevelVersion = { level: "privileged", version: "latest" };
/** Where a workload kind keeps its pod template. */
const TEMPLATES: Readonly<Record<string, readonly string[]>> = {
  "/podtemplates": ["template"],
  "/replicationcontrollers": ["spec", "template"],
  "apps/replicasets": ["spec", "template"],
  "apps/deployments": ["spec", "template"],
  "apps/statefulsets": ["spec", "template"],
  "apps/daemonsets": ["spec", "template"],
  "batch/jobs": ["spec", "template"],
  "batch/cronjobs": ["spec", "jobTemplate", "spec", "template"],
};
/** Pods of a namespace looked at when its enforced level is raised. */
const MAX_EXISTING_PODS = 3000;

function parseVersion(text: string | undefined): LevelVersion["version"] | undefined {
  if (text === undefined || text === "latest") return "latest";
  const match = /^v1\.(0|[1-9][0-9]{0,3})$/.exec(text);
  return match === null ? undefined : Number(match[1]);
}

/** The policy of a namespace's labels, and what is wrong with them. A broken label means the strictest reading. */
function policyOf(
  labels: Readonly<Record<string, string>> = {},
  defaults: Policy,
): { policy: Policy; errors: FieldError[] } {
  const errors: FieldError[] = [];
  const read = (mode: Mode): LevelVersion => {
    const level = labels[PREFIX + mode];
    const versionText = labels[`${PREFIX}${mode}-version`];
    const version = parseVersion(versionText);
    if (version === undefined) {
      const detail = 'must be "latest" or "v1.x"';
      errors.push(fieldInvalid(`metadata.labels[${PREFIX}${mode}-version]`, versionText, detail));
    }
    if (level !== undefined && !LEVELS.includes(level as Level)) {
      errors.push(fieldInvalid(`metadata.labels[${PREFIX}${mode}]`, level, `must be one of ${LEVELS.join(", ")}`));
      return { level: mode === "enforce" ? "restricted" : "privileged", version: "latest" };
    }
    if (level === undefined)
      return versionText === undefined ? defaults[mode] : { ...defaults[mode], version: version ?? "latest" };
    return { level: level as Level, version: version ?? "latest" };
  };
  return { policy: { enforce: read("enforce"), audit: read("audit"), warn: read("warn") }, errors };
}

/** Pod Security Standards by namespace label (KEP-2579): enforce refuses, audit annotates, warn warns. */
export class PodSecurity implements AdmissionPlugin {
  readonly name = "PodSecurity";
  readonly #namespaces: ObjectSource<Namespace>;
  readonly #pods: ObjectSource<Pod>;
  readonly #defaults: Policy;
  readonly #exemptions: PodSecurityExemptions;
  readonly #lookup: (name: string) => Promise<Namespace | undefined>;

  /** `lookup` reads a namespace consistently: with several servers the cache may not have seen it yet. */
  constructor(
    namespaces: ObjectSource<Namespace>,
    pods: ObjectSource<Pod>,
    lookup?: (name: string) => Promise<Namespace | undefined>,
    defaults: Partial<Policy> = {},
    exemptions: PodSecurityExemptions = { usernames: [], namespaces: [], runtimeClasses: [] },
  ) {
    this.#exemptions = exemptions;
    this.#namespaces = namespaces;
    this.#lookup = lookup ?? (async (name) => namespaces.get("", name));
    this.#pods = pods;
    this.#defaults = { enforce: PRIVILEGED, audit: PRIVILEGED, warn: PRIVILEGED, ...defaults };
  }

  handles({ operation, resource, subresource }: AdmissionAttributes): boolean {
    if (operation !== "CREATE" && operation !== "UPDATE") return false;
    if (resource.group === "" && resource.plural === "namespaces") return subresource === "";
    if (resource.group === "" && resource.plural === "pods")
      return subresource === "" || subresource === "ephemeralcontainers";
    return subresource === "" && TEMPLATES[`${resource.group}/${resource.plural}`] !== undefined;
  }

  validate(attributes: AdmissionAttributes): void | Promise<void> {
    const { resource, namespace } = attributes;
    if (resource.group === "" && resource.plural === "namespaces") return this.#namespace(attributes);
    const found = this.#namespaces.get("", namespace);
    // An unknown namespace must not pass for one without a policy.
    if (found === undefined) return this.#lookup(namespace).then((live) => this.#judge(attributes, live));
    return this.#judge(attributes, found);
  }

  #judge(attributes: AdmissionAttributes, namespace: Namespace | undefined): void {
    const { policy } = policyOf(namespace?.metadata.labels, this.#defaults);
    const { resource } = attributes;
    if (resource.group === "" && resource.plural === "pods") this.#pod(attributes, policy);
    else this.#template(attributes, policy);
  }

  #pod(attributes: AdmissionAttributes, policy: Policy): void {
    const pod = objectAs<Pod>(attributes);
    const old = oldObjectAs<Pod>(attributes);
    if (old !== undefined && attributes.subresource === "" && !isSignificantUpdate(pod, old)) return;
    this.#evaluate(attributes, pod, policy, true);
  }

  #template(attributes: AdmissionAttributes, policy: Policy): void {
    let node: unknown = attributes.object;
    for (const key of TEMPLATES[`${attributes.resource.group}/${attributes.resource.plural}`]!) {
      node = (node as Record<string, unknown> | undefined)?.[key];
    }
    const template = node as PodTemplateSpec | undefined;
    if (template?.spec === undefined) return;
    this.#evaluate(attributes, { metadata: template.metadata ?? {}, spec: template.spec } as Pod, policy, false);
  }

  /** What frees a request from the standards. */
  #exemption({ user, namespace }: AdmissionAttributes, pod: Pod): string | undefined {
    const { usernames, namespaces, runtimeClasses } = this.#exemptions;
    if (namespaces.includes(namespace)) return "namespace";
    if (usernames.includes(user.name)) return "user";
    return runtimeClasses.includes(pod.spec?.runtimeClassName ?? "") ? "runtimeClass" : undefined;
  }

  #evaluate(attributes: AdmissionAttributes, pod: Pod, policy: Policy, enforce: boolean): void {
    const exempt = this.#exemption(attributes, pod);
    if (exempt !== undefined) {
      attributes.annotate(`${PREFIX}exempt`, exempt);
      return;
    }
    const found = (level: LevelVersion): string => describeViolations(violations(pod, level));
    if (enforce) attributes.annotate(`${PREFIX}enforce-policy`, showLevel(policy.enforce));
    const refused = enforce ? found(policy.enforce) : "";
    const audited = found(policy.audit);
    if (audited !== "")
      attributes.annotate(
        `${PREFIX}audit-violations`,
        `would violate PodSecurity ${JSON.stringify(showLevel(policy.audit))}: ${audited}`,
      );
    if (refused !== "")
      throw refusal(attributes, `violates PodSecurity ${JSON.stringify(showLevel(policy.enforce))}: ${refused}`);
    const warned = found(policy.warn);
    // What is enforced at the same level has been refused already.
    if (warned !== "")
      attributes.warn(`would violate PodSecurity ${JSON.stringify(showLevel(policy.warn))}: ${warned}`);
  }

  #namespace(attributes: AdmissionAttributes): void {
    const namespace = objectAs<Namespace>(attributes);
    const { policy, errors } = policyOf(namespace.metadata.labels, this.#defaults);
    const old = oldObjectAs<Namespace>(attributes);
    const before = old === undefined ? undefined : policyOf(old.metadata.labels, this.#defaults);
    // Labels that were broken before may stay while something else changes.
    if (errors.length > (before?.errors.length ?? 0))
      throw invalid({ group: "", kind: "Namespace" }, namespace.metadata.name, errors);
    if (before === undefined) return;
    const same = showLevel(before.policy.enforce) === showLevel(policy.enforce);
    const relaxed = LEVELS.indexOf(policy.enforce.level) < LEVELS.indexOf(before.policy.enforce.level);
    if (same || relaxed || policy.enforce.level === "privileged") return;
    if (this.#exemptions.namespaces.includes(namespace.metadata.name)) return;
    for (const warning of this.#existing(namespace.metadata.name, policy.enforce)) attributes.warn(warning);
  }

  /** Warnings about pods that are there already: one line per distinct set of violations. */
  #existing(namespace: string, level: LevelVersion): string[] {
    const byText = new Map<string, string[]>();
    const pods = this.#pods.list(namespace);
    const seen = new Set<string>();
    for (const pod of pods.slice(0, MAX_EXISTING_PODS)) {
      // Pods of one controller look alike: one of them speaks for all.
      const owner = pod.metadata.ownerReferences?.find(({ controller }) => controller === true)?.uid;
      if (owner !== undefined && seen.has(owner)) continue;
      if (owner !== undefined) seen.add(owner);
      const found = violations(pod, level);
      if (found.length === 0) continue;
      const text = found.map(({ reason }) => reason).join(", ");
      byText.set(text, [...(byText.get(text) ?? []), pod.metadata.name]);
    }
    if (byText.size === 0) return [];
    const lines = [...byText].map(([text, names]) => {
      names.sort();
      const others = names.length - 1;
      return `${names[0]}${others === 0 ? "" : ` (and ${others} other ${others === 1 ? "pod" : "pods"})`}: ${text}`;
    });
    const head = `existing pods in namespace ${JSON.stringify(namespace)} violate the new PodSecurity enforce level ${JSON.stringify(showLevel(level))}`;
    return [head, ...lines.sort()];
  }
}

/** Most of a pod is immutable; what may change and matters to a level are images (AppArmor annotations) and metadata. */
function isSignificantUpdate(pod: Pod, old: Pod): boolean {
  const annotations = ({ metadata }: Pod): string =>
    JSON.stringify(
      Object.entries(metadata.annotations ?? {}).filter(
        ([key]) => key.startsWith("container.apparmor") || key.startsWith("seccomp.security"),
      ),
    );
  const rest = ({ spec }: Pod): string =>
    JSON.stringify([
      spec?.securityContext,
      [spec?.hostNetwork, spec?.hostPID, spec?.hostIPC, spec?.volumes],
      [...(spec?.initContainers ?? []), ...(spec?.containers ?? []), ...(spec?.ephemeralContainers ?? [])].map(
        ({ image, securityContext }) => [image, securityContext],
      ),
    ]);
  return annotations(pod) !== annotations(old) || (pod.spec !== old.spec && rest(pod) !== rest(old));
}
