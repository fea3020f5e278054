import { deepCopy, deepEqual, parseQuantity } from "#pkg/apimachinery/index.ts";
import type { Container, Pod, PodSpec, Toleration } from "../../types/core-v1.ts";
import { type FieldError, forbidden, invalid, MAX_INT32, required, sameValue } from "../../validation/rules.ts";
import { qosClassOf } from "../../rules/index.ts";
import { describeDifference } from "./difference.ts";
import { MIRROR_ANNOTATION, validatePodAnnotations, validatePodAnnotationUpdates } from "./pod-annotations.ts";
import { validatePod } from "./pod-spec.ts";

const UPDATABLE = [
  "`spec.containers[*].image`",
  "`spec.initContainers[*].image`",
  "`spec.activeDeadlineSeconds`",
  "`spec.tolerations` (only additions to existing tolerations)",
  "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)",
].join(",");

function validateImages(
  containers: readonly Container[] | undefined,
  old: readonly Container[] | undefined,
  path: string,
): { readonly errors: FieldError[]; readonly stop: boolean } {
  if ((containers ?? []).length !== (old ?? []).length) {
    return { errors: [forbidden(path, "pod updates may not add or remove containers")], stop: true };
  }
  const errors: FieldError[] = [];
  for (const [index, { image = "" }] of (containers ?? []).entries()) {
    const at = `${path}[${index}].image`;
    if (image === "") errors.push(required(at));
    else if (image.trim() !== image) errors.push(invalid(at, image, "must not have leading or trailing whitespace"));
  }
  return { errors, stop: false };
}

function validateDeadline(spec: PodSpec, old: PodSpec): FieldError[] {
  const path = "spec.activeDeadlineSeconds";
  const after = spec.activeDeadlineSeconds;
  const before = old.activeDeadlineSeconds;
  if (after === undefined) {
    return before === undefined ? [] : [invalid(path, null, "must not update from a positive integer to nil value")];
  }
  if (after < 0 || after > MAX_INT32) return [invalid(path, after, `must be between 0 and ${MAX_INT32}, inclusive`)];
  if (before !== undefined && before < after)
    return [invalid(path, after, "must be less than or equal to previous value")];
  return [];
}

const withoutSeconds = ({ tolerationSeconds: _seconds, ...rest }: Toleration): Toleration => rest;

function validateTolerationsOnlyAdded(spec: PodSpec, old: PodSpec): FieldError[] {
  const after = (spec.tolerations ?? []).map(withoutSeconds);
  const kept = (old.tolerations ?? []).every((toleration) =>
    after.some((candidate) => deepEqual(candidate, withoutSeconds(toleration))),
  );
  return kept
    ? []
    : [forbidden("spec.tolerations", "existing toleration can not be modified except its tolerationSeconds")];
}

function validateGatesOnlyRemoved(spec: PodSpec, old: PodSpec): FieldError[] {
  const before = new Set((old.schedulingGates ?? []).map(({ name }) => name));
  const errors: FieldError[] = [];
  for (const [index, { name }] of (spec.schedulingGates ?? []).entries()) {
    if (before.has(name)) continue;
    const why = `only deletion is allowed, but found new scheduling gate '${name}'`;
    errors.push(forbidden(`spec.schedulingGates[${index}].name`, why));
  }
  return errors;
}

/** While gates hold a pod back its node selector may be narrowed, never widened (KEP-3838). */
function validateGatedSelector(spec: PodSpec, old: PodSpec): FieldError[] {
  const after = spec.nodeSelector ?? {};
  const changed = Object.entries(old.nodeSelector ?? {}).some(([key, value]) => after[key] !== value);
  return changed ? [invalid("spec.nodeSelector", after, "only additions are allowed (no mutations or deletions)")] : [];
}

function mungeImages(containers: Container[] | undefined, old: readonly Container[] | undefined): void {
  for (const [index, container] of (containers ?? []).entries()) {
    const image = old?.[index]?.image;
    if (image === undefined) delete container.image;
    else container.image = image;
  }
}

function put<K extends keyof PodSpec>(spec: PodSpec, old: PodSpec, field: K): void {
  if (old[field] === undefined) delete spec[field];
  else spec[field] = old[field];
}

const NODE_AFFINITY_TERMS = "requiredDuringSchedulingIgnoredDuringExecution";

/** The new spec with every field that may change set back: what still differs may not. */
function munge(spec: PodSpec, old: PodSpec): PodSpec {
  const munged = deepCopy(spec);
  mungeImages(munged.containers, old.containers);
  mungeImages(munged.initContainers, old.initContainers);
  put(munged, old, "activeDeadlineSeconds");
  put(munged, old, "schedulingGates");
  put(munged, old, "tolerations");
  if ((old.terminationGracePeriodSeconds ?? 0) < 0 && spec.terminationGracePeriodSeconds === 1) {
    put(munged, old, "terminationGracePeriodSeconds");
  }
  if ((old.schedulingGates ?? []).length > 0) {
    put(munged, old, "nodeSelector");
    const required = munged.affinity?.nodeAffinity?.[NODE_AFFINITY_TERMS];
    if (required !== undefined && old.affinity?.nodeAffinity?.[NODE_AFFINITY_TERMS] === undefined)
      put(munged, old, "affinity");
  }
  return munged;
}

export function validatePodUpdate(pod: Pod, oldPod: Readonly<Pod>): FieldError[] {
  const { annotations } = pod.metadata;
  const at = "metadata.annotations";
  const annotationUpdates = validatePodAnnotationUpdates(annotations, oldPod.metadata.annotations, at);
  const spec = pod.spec!;
  // A spec that was stored has been found valid.
  if (spec !== undefined && spec === oldPod.spec) {
    return [...validatePodAnnotations(annotations, spec, at), ...annotationUpdates];
  }
  const errors = [...validatePod(pod), ...annotationUpdates];
  const old = oldPod.spec!;
  const containers = validateImages(spec.containers, old.containers, "spec.containers");
  errors.push(...containers.errors);
  if (containers.stop) return errors;
  const initContainers = validateImages(spec.initContainers, old.initContainers, "spec.initContainers");
  errors.push(...initContainers.errors);
  if (initContainers.stop) return errors;
  const deadline = validateDeadline(spec, old);
  if (deadline.length > 0) return [...errors, ...deadline];
  errors.push(...validateGatesOnlyRemoved(spec, old), ...validateTolerationsOnlyAdded(spec, old));
  if ((old.schedulingGates ?? []).length > 0) errors.push(...validateGatedSelector(spec, old));
  const munged = munge(spec, old);
  if (!deepEqual(munged, old)) {
    const why = `pod updates may not change fields other than ${UPDATABLE}`;
    errors.push(forbidden("spec", `${why}\n${describeDifference(old, munged, "spec")}`));
  }
  return errors;
}

export function validateEphemeralContainersUpdate(pod: Pod, old: Readonly<Pod>): FieldError[] {
  const errors = validatePod(pod);
  const path = "spec.ephemeralContainers";
  if (old.metadata.annotations?.[MIRROR_ANNOTATION] !== undefined) {
    errors.push(forbidden("", "static pods do not support ephemeral containers"));
  }
  const after = pod.spec?.ephemeralContainers ?? [];
  const before = new Map((old.spec?.ephemeralContainers ?? []).map((container) => [container.name, container]));
  for (const [index, container] of after.entries()) {
    const existing = before.get(container.name);
    before.delete(container.name);
    if (existing === undefined || sameValue(container, existing)) continue;
    const why = `existing ephemeral containers ${JSON.stringify(container.name)} may not be changed\n`;
    errors.push(forbidden(`${path}[${index}]`, why));
  }
  for (const name of before.keys()) {
    errors.push(forbidden(path, `existing ephemeral containers ${JSON.stringify(name)} may not be removed\n`));
  }
  return errors;
}

const RESIZABLE = new Set(["cpu", "memory"]);

function validateContainerResize(container: Container, old: Container, path: string): FieldError[] {
  const errors: FieldError[] = [];
  for (const list of ["limits", "requests"] as const) {
    const after = container.resources?.[list] ?? {};
    const before = old.resources?.[list] ?? {};
    for (const name of new Set([...Object.keys(before), ...Object.keys(after)])) {
      const [now, was] = [after[name], before[name]];
      if (now !== undefined && was !== undefined && parseQuantity(now).equals(parseQuantity(was))) continue;
      if (!RESIZABLE.has(name)) errors.push(forbidden(`${path}.${list}`, "only cpu and memory resources are mutable"));
      else if (now === undefined) errors.push(forbidden(`${path}.${list}`, `resource ${list} cannot be removed`));
    }
  }
  return errors;
}

function validateSameContainers(pod: Pod, old: Readonly<Pod>): FieldError[] {
  const errors: FieldError[] = [];
  for (const field of ["containers", "initContainers"] as const) {
    for (const [index, { name }] of (pod.spec?.[field] ?? []).entries()) {
      if (name === old.spec?.[field]?.[index]?.name) continue;
      errors.push(forbidden(`spec.${field}[${index}].name`, "containers may not be renamed or reordered on resize"));
    }
  }
  return errors;
}

export function validateResize(pod: Pod, old: Readonly<Pod>): FieldError[] {
  const errors = [...validateSameContainers(pod, old), ...validatePod(pod)];
  if (old.metadata.annotations?.[MIRROR_ANNOTATION] !== undefined) {
    errors.push(forbidden("", "static pods cannot be resized"));
  }
  if (old.spec?.os?.name === "windows") errors.push(forbidden("", "windows pods cannot be resized"));
  const after = qosClassOf(pod);
  if (after !== (old.status?.qosClass ?? qosClassOf(old))) {
    errors.push(invalid("spec", after, "Pod QOS Class may not change as a result of resizing"));
  }
  const whole = { name: "", resources: pod.spec?.resources };
  errors.push(...validateContainerResize(whole, { name: "", resources: old.spec?.resources }, "spec.resources"));
  for (const field of ["containers", "initContainers"] as const) {
    for (const [index, container] of (pod.spec?.[field] ?? []).entries()) {
      const before = old.spec?.[field]?.[index];
      if (before === undefined || deepEqual(container.resources, before.resources)) continue;
      const path = `spec.${field}[${index}].resources`;
      if (field === "initContainers" && container.restartPolicy !== "Always") {
        errors.push(forbidden(path, "resources for non-sidecar init containers are immutable"));
      } else errors.push(...validateContainerResize(container, before, path));
    }
  }
  return errors;
}
