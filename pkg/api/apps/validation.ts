import type { ControllerRevision, DaemonSet, Deployment, ReplicaSet, StatefulSet } from "../types/apps-v1.ts";
import {
  each,
  type FieldError,
  forbidden,
  immutable,
  invalid,
  isEmpty,
  nonNegative,
  notSupported,
  required,
  sameValue,
} from "../validation/rules.ts";
import { isEmptySelector, isSelector, validateLabelSelector } from "../validation/selectors.ts";
import {
  amountOf,
  atMostAll,
  countOrPercent,
  validateOwnSelector,
  validateRunning,
  validateRunningTemplate,
  validateSelected,
} from "../validation/templates.ts";
import { validatePvcSpec } from "../core/validation/claims.ts";
import { validatePodTemplate, validateTemplateMetadata } from "../core/validation/pod-spec.ts";
import type { PodTemplateSpec } from "../types/core-v1.ts";

/** Upstream shows the strategy whole, by the names its fields have in Go. */
function unknownStrategy(
  path: string,
  strategy: Deployment["spec"]["strategy"] | DaemonSet["spec"]["updateStrategy"],
  supported: readonly string[],
): FieldError {
  const { type = "", rollingUpdate } = strategy ?? {};
  const { maxUnavailable = 0, maxSurge = 0 } = rollingUpdate ?? {};
  const shown = rollingUpdate === undefined ? null : { MaxUnavailable: maxUnavailable, MaxSurge: maxSurge };
  return notSupported(path, { Type: type, RollingUpdate: shown }, supported);
}

function validateDeploymentStrategy(strategy: NonNullable<Deployment["spec"]>["strategy"]): FieldError[] {
  const path = "spec.strategy";
  const { type, rollingUpdate } = strategy ?? {};
  if (type === "Recreate") {
    if (rollingUpdate === undefined) return [];
    return [forbidden(`${path}.rollingUpdate`, "may not be specified when strategy `type` is 'Recreate'")];
  }
  if (type !== "RollingUpdate") return [unknownStrategy(path, strategy, ["Recreate", "RollingUpdate"])];
  const at = `${path}.rollingUpdate`;
  if (rollingUpdate === undefined) return [required(at, "this should be defaulted and never be nil")];
  const { maxSurge, maxUnavailable } = rollingUpdate;
  const errors = [
    ...countOrPercent(maxUnavailable, `${at}.maxUnavailable`),
    ...countOrPercent(maxSurge, `${at}.maxSurge`),
  ];
  if (amountOf(maxUnavailable) === 0 && amountOf(maxSurge) === 0) {
    errors.push(invalid(`${at}.maxUnavailable`, maxUnavailable, "may not be 0 when `maxSurge` is 0"));
  }
  return [...errors, ...atMostAll(maxUnavailable, `${at}.maxUnavailable`)];
}

/** Selector and template of a ReplicaSet, and of a Deployment, whose template is one for ReplicaSets. */
function validateReplicaTemplate({ selector, template }: ReplicaSet["spec"] | Deployment["spec"]): FieldError[] {
  const path = "spec.selector";
  const errors = validateOwnSelector(selector, "deployment", path);
  if (!isSelector(selector)) return [...errors, invalid(path, selector, "invalid label selector")];
  return [...errors, ...validateRunningTemplate(template ?? {}, selector, "ReplicaSet", "spec.template")];
}

export function validateDeployment({ spec }: Deployment): FieldError[] {
  const errors = [
    ...nonNegative(spec.replicas, "spec.replicas"),
    ...validateReplicaTemplate(spec),
    ...validateDeploymentStrategy(spec.strategy),
    ...nonNegative(spec.minReadySeconds, "spec.minReadySeconds"),
    ...nonNegative(spec.revisionHistoryLimit, "spec.revisionHistoryLimit"),
  ];
  const deadline = spec.progressDeadlineSeconds;
  if (deadline !== undefined) {
    errors.push(...nonNegative(deadline, "spec.progressDeadlineSeconds"));
    if (deadline <= (spec.minReadySeconds ?? 0)) {
      errors.push(invalid("spec.progressDeadlineSeconds", deadline, "must be greater than minReadySeconds"));
    }
  }
  return errors;
}

export function validateDeploymentUpdate(deployment: Deployment, old: Readonly<Deployment>): FieldError[] {
  if (deployment.spec === old.spec) return []; // What was stored has been found valid.
  return [
    ...validateDeployment(deployment),
    ...immutable(deployment.spec.selector, old.spec.selector, "spec.selector"),
  ];
}

/** Counters of a status; none is negative. */
function validateCounters(status: object | undefined, fields: readonly string[]): FieldError[] {
  const counters = (status ?? {}) as Readonly<Record<string, number | undefined>>;
  return fields.flatMap((field) => nonNegative(counters[field], `status.${field}`));
}

function notMoreThan(
  status: object | undefined,
  fields: readonly string[],
  limit: string,
  message: string,
): FieldError[] {
  const counters = (status ?? {}) as Readonly<Record<string, number | undefined>>;
  const most = counters[limit] ?? 0;
  return fields
    .filter((field) => (counters[field] ?? 0) > most)
    .map((field) => invalid(`status.${field}`, counters[field], message));
}

const DEPLOYMENT_COUNTERS = [
  "observedGeneration",
  "replicas",
  "updatedReplicas",
  "readyReplicas",
  "availableReplicas",
  "unavailableReplicas",
  "collisionCount",
];

/** The number of collisions is part of names and never goes back. */
function validateCollisions(
  status: { collisionCount?: number } | undefined,
  old: { collisionCount?: number } | undefined,
): FieldError[] {
  const [now, before] = [status?.collisionCount, old?.collisionCount];
  if (before === undefined || (now !== undefined && now >= before)) return [];
  return [invalid("status.collisionCount", now ?? 0, "cannot be decremented")];
}

export function validateDeploymentStatus({ status }: Deployment, old: Readonly<Deployment>): FieldError[] {
  const errors = validateCounters(status, DEPLOYMENT_COUNTERS);
  const more = "cannot be greater than status.replicas";
  errors.push(...notMoreThan(status, ["updatedReplicas", "readyReplicas", "availableReplicas"], "replicas", more));
  if ((status?.availableReplicas ?? 0) > (status?.readyReplicas ?? 0)) {
    errors.push(invalid("status.availableReplicas", status?.availableReplicas, "cannot be greater than readyReplicas"));
  }
  return [...errors, ...validateCollisions(status, old.status)];
}

export function validateReplicaSet({ spec }: ReplicaSet): FieldError[] {
  return [
    ...nonNegative(spec.replicas, "spec.replicas"),
    ...nonNegative(spec.minReadySeconds, "spec.minReadySeconds"),
    ...validateReplicaTemplate(spec),
  ];
}

export function validateReplicaSetUpdate(replicaSet: ReplicaSet, old: Readonly<ReplicaSet>): FieldError[] {
  if (replicaSet.spec === old.spec) return []; // What was stored has been found valid.
  return [
    ...validateReplicaSet(replicaSet),
    ...immutable(replicaSet.spec.selector, old.spec.selector, "spec.selector"),
  ];
}

export function validateReplicaStatus({ status }: { status?: ReplicaSet["status"] }): FieldError[] {
  const fields = ["replicas", "fullyLabeledReplicas", "readyReplicas", "availableReplicas", "observedGeneration"];
  return [
    ...validateCounters(status, fields),
    ...notMoreThan(
      status,
      ["fullyLabeledReplicas", "readyReplicas", "availableReplicas"],
      "replicas",
      "cannot be greater than status.replicas",
    ),
    ...notMoreThan(status, ["availableReplicas"], "readyReplicas", "cannot be greater than readyReplicas"),
  ];
}

function validateDaemonSetStrategy(strategy: NonNullable<DaemonSet["spec"]>["updateStrategy"]): FieldError[] {
  const path = "spec.updateStrategy";
  const { type, rollingUpdate } = strategy ?? {};
  if (type === "OnDelete") return [];
  if (type !== "RollingUpdate") return [unknownStrategy(path, strategy, ["RollingUpdate", "OnDelete"])];
  const at = `${path}.rollingUpdate`;
  if (rollingUpdate === undefined) return [required(at)];
  const { maxSurge, maxUnavailable } = rollingUpdate;
  const errors = [
    ...countOrPercent(maxUnavailable, `${at}.maxUnavailable`),
    ...countOrPercent(maxSurge, `${at}.maxSurge`),
    ...atMostAll(maxUnavailable, `${at}.maxUnavailable`),
    ...atMostAll(maxSurge, `${at}.maxSurge`),
  ];
  const [unavailable, surge] = [amountOf(maxUnavailable) !== 0, amountOf(maxSurge) !== 0];
  if (unavailable && surge) {
    errors.push(invalid(`${at}.maxSurge`, maxSurge, "may not be set when maxUnavailable is non-zero"));
  } else if (!unavailable && !surge) {
    errors.push(required(`${at}.maxUnavailable`, "cannot be 0 when maxSurge is 0"));
  }
  return errors;
}

export function validateDaemonSet({ spec }: DaemonSet): FieldError[] {
  const { selector, template = {} } = spec;
  const empty = selector !== undefined && isEmptySelector(selector);
  return [
    ...validateLabelSelector(selector, "spec.selector"),
    ...(isSelector(selector) ? validateSelected(template, selector, "spec.template") : []),
    ...(empty ? [invalid("spec.selector", selector, "empty selector is invalid for daemonset")] : []),
    ...validatePodTemplate(template, "spec.template"),
    ...validateRunning(template, "DaemonSet", "spec.template"),
    ...nonNegative(spec.minReadySeconds, "spec.minReadySeconds"),
    ...validateDaemonSetStrategy(spec.updateStrategy),
    ...nonNegative(spec.revisionHistoryLimit, "spec.revisionHistoryLimit"),
  ];
}

export function validateDaemonSetUpdate(daemonSet: DaemonSet, old: Readonly<DaemonSet>): FieldError[] {
  if (daemonSet.spec === old.spec) return []; // What was stored has been found valid.
  return [...validateDaemonSet(daemonSet), ...immutable(daemonSet.spec.selector, old.spec.selector, "spec.selector")];
}

const DAEMON_COUNTERS = [
  "currentNumberScheduled",
  "numberMisscheduled",
  "desiredNumberScheduled",
  "numberReady",
  "observedGeneration",
  "updatedNumberScheduled",
  "numberAvailable",
  "numberUnavailable",
  "collisionCount",
];
export const validateDaemonSetStatus = ({ status }: DaemonSet, old: Readonly<DaemonSet>): FieldError[] => [
  ...validateCounters(status, DAEMON_COUNTERS),
  ...validateCollisions(status, old.status),
];

function validateStatefulStrategy(strategy: NonNullable<StatefulSet["spec"]>["updateStrategy"]): FieldError[] {
  const path = "spec.updateStrategy";
  const { type, rollingUpdate } = strategy ?? {};
  if (isEmpty(type)) return [required(path)];
  if (type === "OnDelete") {
    if (rollingUpdate === undefined) return [];
    return [invalid(`${path}.rollingUpdate`, rollingUpdate, "only allowed for updateStrategy 'RollingUpdate'")];
  }
  if (type !== "RollingUpdate") return [invalid(path, strategy, "must be 'RollingUpdate' or 'OnDelete'")];
  const at = `${path}.rollingUpdate.maxUnavailable`;
  const most = rollingUpdate?.maxUnavailable;
  const none = most !== undefined && amountOf(most) === 0;
  return [
    ...nonNegative(rollingUpdate?.partition, `${path}.rollingUpdate.partition`),
    ...countOrPercent(most, at),
    ...(none ? [invalid(at, most, "cannot be 0")] : []),
    ...atMostAll(most, at),
  ];
}

/** The template with a volume for each claim template, which stands in for a volume of that name. */
function withClaims({ template = {}, volumeClaimTemplates = [] }: StatefulSet["spec"]): PodTemplateSpec {
  if (template.spec === undefined || volumeClaimTemplates.length === 0) return template;
  const names = new Set(volumeClaimTemplates.map(({ metadata }) => metadata?.name ?? ""));
  const claimed = [...names].map((name) => ({ name, persistentVolumeClaim: { claimName: name } }));
  const others = (template.spec.volumes ?? []).filter(({ name }) => !names.has(name));
  return { ...template, spec: { ...template.spec, volumes: [...claimed, ...others] } };
}

const validateClaimTemplates = ({ volumeClaimTemplates }: StatefulSet["spec"]): FieldError[] =>
  each(volumeClaimTemplates, "spec.volumeClaimTemplates", ({ spec }, at) => validatePvcSpec(spec ?? {}, `${at}.spec`));

const validateClaimedTemplate = (spec: StatefulSet["spec"]): FieldError[] =>
  validatePodTemplate(withClaims(spec), "spec.template");

const MANAGEMENT_POLICIES = ["OrderedReady", "Parallel"];
const RETENTION = ["Retain", "Delete"];

function validateRetention({ persistentVolumeClaimRetentionPolicy: policy }: StatefulSet["spec"]): FieldError[] {
  if (policy === undefined) return [];
  const path = "spec.persistentVolumeClaimRetentionPolicy";
  return (["whenDeleted", "whenScaled"] as const).flatMap((field) => {
    const value = policy[field] ?? "";
    return RETENTION.includes(value) ? [] : [notSupported(`${path}.${field}`, value, RETENTION)];
  });
}

/** Sets made before claims and pods in templates were looked at keep what they have: `old` is what is there. */
function validateStatefulSetSpec(spec: StatefulSet["spec"], old?: StatefulSet["spec"]): FieldError[] {
  const errors: FieldError[] = [];
  const { podManagementPolicy: policy, selector, template = {} } = spec;
  if (isEmpty(policy)) errors.push(required("spec.podManagementPolicy"));
  else if (!MANAGEMENT_POLICIES.includes(policy!)) {
    errors.push(invalid("spec.podManagementPolicy", policy, "must be 'OrderedReady' or 'Parallel'"));
  }
  errors.push(...validateStatefulStrategy(spec.updateStrategy), ...validateRetention(spec));
  if (old === undefined || validateClaimTemplates(old).length === 0) errors.push(...validateClaimTemplates(spec));
  errors.push(
    ...nonNegative(spec.replicas, "spec.replicas"),
    ...nonNegative(spec.minReadySeconds, "spec.minReadySeconds"),
    ...nonNegative(spec.revisionHistoryLimit, "spec.revisionHistoryLimit"),
    ...nonNegative(spec.ordinals?.start, "spec.ordinals.start"),
    ...validateOwnSelector(selector, "statefulset", "spec.selector"),
  );
  if (!isSelector(selector)) errors.push(invalid("spec.selector", selector, ""));
  else {
    errors.push(...validateSelected(template, selector, "spec.template"));
    const known = old === undefined || validateClaimedTemplate(old).length === 0;
    errors.push(...(known ? validateClaimedTemplate(spec) : validateTemplateMetadata(template, "spec.template")));
  }
  return [...errors, ...validateRunning(template, "StatefulSet", "spec.template")];
}

export const validateStatefulSet = ({ spec }: StatefulSet): FieldError[] => validateStatefulSetSpec(spec);

const MUTABLE_FIELDS = [
  "replicas",
  "ordinals",
  "template",
  "updateStrategy",
  "revisionHistoryLimit",
  "persistentVolumeClaimRetentionPolicy",
  "minReadySeconds",
] as const;

export function validateStatefulSetUpdate(statefulSet: StatefulSet, old: Readonly<StatefulSet>): FieldError[] {
  if (statefulSet.spec === old.spec) return []; // What was stored has been found valid.
  const errors = validateStatefulSetSpec(statefulSet.spec, old.spec);
  const fields = new Set([...Object.keys(statefulSet.spec), ...Object.keys(old.spec)]) as Set<
    keyof StatefulSet["spec"]
  >;
  for (const field of MUTABLE_FIELDS) fields.delete(field);
  if ([...fields].some((field) => !sameValue(statefulSet.spec[field], old.spec[field]))) {
    const names = `${MUTABLE_FIELDS.slice(0, -1)
      .map((field) => `'${field}'`)
      .join(", ")} and 'minReadySeconds'`;
    errors.push(forbidden("spec", `updates to statefulset spec for fields other than ${names} are forbidden`));
  }
  return errors;
}

export function validateStatefulSetStatus({ status }: StatefulSet, old: Readonly<StatefulSet>): FieldError[] {
  const parts = ["readyReplicas", "currentReplicas", "updatedReplicas", "availableReplicas"];
  return [
    ...validateCounters(status, ["replicas", ...parts, "observedGeneration", "collisionCount"]),
    ...notMoreThan(status, parts, "replicas", "cannot be greater than status.replicas"),
    ...notMoreThan(status, ["availableReplicas"], "readyReplicas", "cannot be greater than status.readyReplicas"),
    ...validateCollisions(status, old.status),
  ];
}

export function validateControllerRevision(revision: ControllerRevision): FieldError[] {
  const errors: FieldError[] = [];
  if (revision.data === undefined) errors.push(required("data", "data is mandatory"));
  return [...errors, ...nonNegative(revision.revision, "revision")];
}

export function validateControllerRevisionUpdate(
  revision: ControllerRevision,
  old: Readonly<ControllerRevision>,
): FieldError[] {
  return [...validateControllerRevision(revision), ...immutable(revision.data, old.data, "data")];
}
