import type { ControllerRevision, DaemonSet, Deployment, ReplicaSet, StatefulSet } from "../types/apps-v1.ts";
import {
  duplicate,
  each,
  type FieldError,
  forbidden,
  immutable,
  invalid,
  isEmpty,
  nonNegative,
  notSupported,
  oneOf,
  required,
  sameValue,
} from "../validation/rules.ts";
import {
  amountOf,
  atMostAll,
  countOrPercent,
  validateOwnSelector,
  validateRunningTemplate,
} from "../validation/templates.ts";
import { validatePvcSpec } from "../core/validation/claims.ts";

function validateDeploymentStrategy(strategy: NonNullable<Deployment["spec"]>["strategy"]): FieldError[] {
  const path = "spec.strategy";
  const { type, rollingUpdate } = strategy ?? {};
  if (type === "Recreate") {
    if (rollingUpdate === undefined) return [];
    return [forbidden(`${path}.rollingUpdate`, "may not be specified when strategy `type` is 'Recreate'")];
  }
  if (type !== "RollingUpdate") return [notSupported(`${path}.type`, type ?? "", ["Recreate", "RollingUpdate"])];
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

export function validateDeployment({ spec }: Deployment): FieldError[] {
  const errors = [
    ...nonNegative(spec.replicas, "spec.replicas"),
    ...validateOwnSelector(spec.selector, "deployment", "spec.selector"),
    ...validateRunningTemplate(spec.template ?? {}, spec.selector, "ReplicaSet", "spec.template"),
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
];

export function validateDeploymentStatus({ status }: Deployment): FieldError[] {
  const errors = validateCounters(status, DEPLOYMENT_COUNTERS);
  const more = "cannot be greater than status.replicas";
  errors.push(...notMoreThan(status, ["updatedReplicas", "readyReplicas", "availableReplicas"], "replicas", more));
  if ((status?.availableReplicas ?? 0) > (status?.readyReplicas ?? 0)) {
    errors.push(invalid("status.availableReplicas", status?.availableReplicas, "cannot be greater than readyReplicas"));
  }
  return errors;
}

export function validateReplicaSet({ spec }: ReplicaSet): FieldError[] {
  return [
    ...nonNegative(spec.replicas, "spec.replicas"),
    ...nonNegative(spec.minReadySeconds, "spec.minReadySeconds"),
    ...validateOwnSelector(spec.selector, "deployment", "spec.selector"),
    ...validateRunningTemplate(spec.template ?? {}, spec.selector, "ReplicaSet", "spec.template"),
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
  if (type !== "RollingUpdate") return [notSupported(`${path}.type`, type ?? "", ["OnDelete", "RollingUpdate"])];
  const at = `${path}.rollingUpdate`;
  if (rollingUpdate === undefined) return [required(at)];
  const { maxSurge, maxUnavailable } = rollingUpdate;
  const errors = [
    ...countOrPercent(maxUnavailable, `${at}.maxUnavailable`),
    ...atMostAll(maxUnavailable, `${at}.maxUnavailable`),
    ...countOrPercent(maxSurge, `${at}.maxSurge`),
    ...atMostAll(maxSurge, `${at}.maxSurge`),
  ];
  const [unavailable, surge] = [amountOf(maxUnavailable) > 0, amountOf(maxSurge) > 0];
  if (unavailable && surge) {
    errors.push(invalid(`${at}.maxSurge`, maxSurge, "may not be set when maxUnavailable is non-zero"));
  } else if (!unavailable && !surge) {
    errors.push(required(`${at}.maxUnavailable`, "cannot be 0 when maxSurge is 0"));
  }
  return errors;
}

export function validateDaemonSet({ spec }: DaemonSet): FieldError[] {
  return [
    ...validateOwnSelector(spec.selector, "daemonset", "spec.selector"),
    ...validateRunningTemplate(spec.template ?? {}, spec.selector, "DaemonSet", "spec.template"),
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
];
export const validateDaemonSetStatus = ({ status }: DaemonSet): FieldError[] =>
  validateCounters(status, DAEMON_COUNTERS);

function validateStatefulStrategy(strategy: NonNullable<StatefulSet["spec"]>["updateStrategy"]): FieldError[] {
  const path = "spec.updateStrategy";
  const { type, rollingUpdate } = strategy ?? {};
  if (isEmpty(type)) return [required(path)];
  if (type === "OnDelete") {
    if (rollingUpdate === undefined) return [];
    return [invalid(`${path}.rollingUpdate`, rollingUpdate, "only allowed for updateStrategy 'RollingUpdate'")];
  }
  if (type !== "RollingUpdate") return [invalid(path, strategy, "must be 'RollingUpdate' or 'OnDelete'")];
  return [
    ...nonNegative(rollingUpdate?.partition, `${path}.rollingUpdate.partition`),
    ...countOrPercent(rollingUpdate?.maxUnavailable, `${path}.rollingUpdate.maxUnavailable`),
    ...atMostAll(rollingUpdate?.maxUnavailable, `${path}.rollingUpdate.maxUnavailable`),
  ];
}

function validateClaimTemplates({ spec }: StatefulSet): FieldError[] {
  const names = new Set<string>();
  return each(spec.volumeClaimTemplates, "spec.volumeClaimTemplates", (claim, at) => {
    const name = claim.metadata?.name;
    const errors: FieldError[] = [];
    if (isEmpty(name)) errors.push(required(`${at}.metadata.name`));
    else if (names.has(name!)) errors.push(duplicate(`${at}.metadata.name`, name));
    names.add(name ?? "");
    return [...errors, ...validatePvcSpec(claim.spec ?? {}, `${at}.spec`)];
  });
}

const MANAGEMENT_POLICIES = ["OrderedReady", "Parallel"];
const RETENTION = ["Delete", "Retain"];

export function validateStatefulSet(statefulSet: StatefulSet): FieldError[] {
  const { spec } = statefulSet;
  const errors: FieldError[] = [];
  const policy = spec.podManagementPolicy;
  if (isEmpty(policy)) errors.push(required("spec.podManagementPolicy"));
  else if (!MANAGEMENT_POLICIES.includes(policy!)) {
    errors.push(invalid("spec.podManagementPolicy", policy, "must be 'OrderedReady' or 'Parallel'"));
  }
  errors.push(...validateStatefulStrategy(spec.updateStrategy));
  const retention = spec.persistentVolumeClaimRetentionPolicy;
  if (retention !== undefined) {
    const path = "spec.persistentVolumeClaimRetentionPolicy";
    errors.push(...oneOf(retention.whenDeleted, RETENTION, `${path}.whenDeleted`));
    errors.push(...oneOf(retention.whenScaled, RETENTION, `${path}.whenScaled`));
  }
  errors.push(
    ...nonNegative(spec.replicas, "spec.replicas"),
    ...nonNegative(spec.minReadySeconds, "spec.minReadySeconds"),
    ...nonNegative(spec.revisionHistoryLimit, "spec.revisionHistoryLimit"),
    ...nonNegative(spec.ordinals?.start, "spec.ordinals.start"),
    ...validateOwnSelector(spec.selector, "statefulset", "spec.selector"),
    ...validateRunningTemplate(spec.template ?? {}, spec.selector, "StatefulSet", "spec.template"),
    ...validateClaimTemplates(statefulSet),
  );
  return errors;
}

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
  const errors = validateStatefulSet(statefulSet);
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

export function validateStatefulSetStatus({ status }: StatefulSet): FieldError[] {
  const parts = ["readyReplicas", "currentReplicas", "updatedReplicas", "availableReplicas"];
  return [
    ...validateCounters(status, ["replicas", ...parts, "observedGeneration", "collisionCount"]),
    ...notMoreThan(status, parts, "replicas", "cannot be greater than status.replicas"),
    ...notMoreThan(status, ["availableReplicas"], "readyReplicas", "cannot be greater than status.readyReplicas"),
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
