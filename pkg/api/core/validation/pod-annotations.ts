/** Annotations that once were, or still are, part of what a pod means. */
import type { AppArmorProfile, PodSpec, SeccompProfile } from "../../types/core-v1.ts";
import { MAX_INT32, type FieldError, forbidden, invalid, isEmpty, localPath } from "../../validation/rules.ts";
import { containersOf } from "./windows.ts";

type Annotations = Readonly<Record<string, string>> | undefined;

export const MIRROR_ANNOTATION = "kubernetes.io/config.mirror";
const DELETION_COST = "controller.kubernetes.io/pod-deletion-cost";
const SECCOMP_POD = "seccomp.security.alpha.kubernetes.io/pod";
const SECCOMP_CONTAINER = "container.seccomp.security.alpha.kubernetes.io/";
export const APP_ARMOR = "container.apparmor.security.beta.kubernetes.io/";
export const LOCAL_PREFIX = "localhost/";

function isInt32(text: string): boolean {
  if (!/^(?:0|-[0-9]+|[1-9][0-9]*)$/.test(text)) return false;
  const value = Number(text);
  return value >= -MAX_INT32 - 1 && value <= MAX_INT32;
}

const SECCOMP_PROFILES: ReadonlySet<string> = new Set(["runtime/default", "docker/default", "unconfined"]);

function validateSeccompName(profile: string, path: string): FieldError[] {
  if (SECCOMP_PROFILES.has(profile)) return [];
  if (profile.startsWith(LOCAL_PREFIX)) return localPath(profile.slice(LOCAL_PREFIX.length), path);
  return [invalid(path, profile, "must be a valid seccomp profile")];
}

function validateAppArmorName(key: string, profile: string, spec: PodSpec, path: string): FieldError[] {
  const errors: FieldError[] = [];
  const name = key.slice(APP_ARMOR.length);
  const found = [...containersOf(spec, "")].some(([container]) => container.name === name);
  if (!found) errors.push(invalid(path, name, "container not found"));
  const known = ["", "runtime/default", "unconfined"].includes(profile) || profile.startsWith(LOCAL_PREFIX);
  if (!known) errors.push(invalid(path, profile, `invalid AppArmor profile name: ${JSON.stringify(profile)}`));
  return errors;
}

/** Errors of the annotations of a pod or of a template. */
export function validatePodAnnotations(annotations: Annotations, spec: PodSpec, path: string): FieldError[] {
  if (annotations === undefined) return [];
  const errors: FieldError[] = [];
  const mirror = annotations[MIRROR_ANNOTATION];
  if (mirror !== undefined && isEmpty(spec.nodeName)) {
    const why = "must set spec.nodeName if mirror pod annotation is set";
    errors.push(invalid(`${path}[${MIRROR_ANNOTATION}]`, mirror, why));
  }
  const cost = annotations[DELETION_COST];
  if (cost !== undefined && !isInt32(cost)) {
    errors.push(invalid(`${path}[${DELETION_COST}]`, cost, "must be a 32bit integer"));
  }
  const seccomp = annotations[SECCOMP_POD];
  if (seccomp !== undefined) errors.push(...validateSeccompName(seccomp, `${path}.${SECCOMP_POD}`));
  const appArmor: FieldError[] = [];
  for (const key in annotations) {
    const profile = annotations[key]!;
    if (key.startsWith(SECCOMP_CONTAINER)) errors.push(...validateSeccompName(profile, `${path}.${key}`));
    if (key.startsWith(APP_ARMOR)) appArmor.push(...validateAppArmorName(key, profile, spec, `${path}[${key}]`));
  }
  return [...errors, ...appArmor];
}

/** Mirror pods are the kubelet's; what confines a container is fixed when it is made. */
export function validatePodAnnotationUpdates(annotations: Annotations, old: Annotations, path: string): FieldError[] {
  const errors: FieldError[] = [];
  for (const key in old) {
    if (annotations?.[key] === old[key]) continue;
    const at = `${path}[${key}]`;
    if (key.startsWith(APP_ARMOR)) errors.push(forbidden(at, "may not remove or update AppArmor annotations"));
    if (key === MIRROR_ANNOTATION) errors.push(forbidden(at, "may not remove or update mirror pod annotation"));
  }
  for (const key in annotations) {
    if (old?.[key] !== undefined) continue; // judged above
    const at = `${path}[${key}]`;
    if (key.startsWith(APP_ARMOR)) errors.push(forbidden(at, "may not add AppArmor annotations"));
    if (key === MIRROR_ANNOTATION) errors.push(forbidden(at, "may not add mirror pod annotation"));
  }
  return errors;
}

/** The annotation and the field for one thing must agree, where both are there. */
function agree(
  annotation: string | undefined,
  profile: SeccompProfile | AppArmorProfile | undefined,
  what: "seccomp" | "apparmor",
  path: string,
): FieldError[] {
  if (annotation === undefined || profile === undefined) return [];
  const { type, localhostProfile } = profile;
  const wrongType = [forbidden(`${path}.type`, `${what} type in annotation and field must match`)];
  const isDefault = annotation === "runtime/default" || (what === "seccomp" && annotation === "docker/default");
  if (type === "Unconfined") return annotation === "unconfined" ? [] : wrongType;
  if (type === "RuntimeDefault") return isDefault ? [] : wrongType;
  if (type !== "Localhost") return [];
  if (!annotation.startsWith(LOCAL_PREFIX)) return wrongType;
  if (annotation.slice(LOCAL_PREFIX.length) === localhostProfile) return [];
  return [forbidden(`${path}.localhostProfile`, `${what} profile in annotation and field must match`)];
}

/** Annotations against fields, of a pod that is made and of templates. */
export function validateProfilesAgree(annotations: Annotations, spec: PodSpec, path: string): FieldError[] {
  if (annotations === undefined) return [];
  const ofPod = spec.securityContext;
  const errors = agree(
    annotations[SECCOMP_POD],
    ofPod?.seccompProfile,
    "seccomp",
    `${path}.securityContext.seccompProfile`,
  );
  const appArmor: FieldError[] = [];
  for (const [{ name, securityContext: own }, container] of containersOf(spec, path)) {
    const at = `${container}.securityContext`;
    const seccomp = annotations[SECCOMP_CONTAINER + name];
    errors.push(...agree(seccomp, own?.seccompProfile, "seccomp", `${at}.seccompProfile`));
    if (spec.os?.name === "windows") continue;
    const profile = own?.appArmorProfile ?? ofPod?.appArmorProfile;
    appArmor.push(...agree(annotations[APP_ARMOR + name], profile, "apparmor", `${at}.appArmorProfile`));
  }
  return [...errors, ...appArmor];
}

/** Says that a container's AppArmor annotation has a field for a successor; `metadata` is the path to its pod's. */
export function useAppArmorField(metadata: string, container: string): string {
  const instead = 'deprecated since v1.30; use the "appArmorProfile" field instead';
  return `${metadata}.annotations[${APP_ARMOR}${container}]: ${instead}`;
}

/** Warnings of annotations that nothing reads any more and no field repeats. */
export function deadAnnotationWarnings(annotations: Annotations, spec: PodSpec, metadata: string): string[] {
  if (annotations === undefined) return [];
  const dead = (key: string, profile: SeccompProfile | undefined) =>
    annotations[key] === undefined || profile !== undefined
      ? []
      : [`${metadata}.annotations[${key}]: non-functional in v1.27+; use the "seccompProfile" field instead`];
  return [
    ...dead(SECCOMP_POD, spec.securityContext?.seccompProfile),
    ...[...containersOf(spec, "")].flatMap(([{ name, securityContext }]) =>
      dead(SECCOMP_CONTAINER + name, securityContext?.seccompProfile),
    ),
  ];
}

/** Warnings of AppArmor annotations of a template without a field beside them: its pods will have the field. */
export function appArmorWarnings(annotations: Annotations, spec: PodSpec, metadata: string): string[] {
  if (annotations === undefined || spec.securityContext?.appArmorProfile !== undefined) return [];
  return [...containersOf(spec, "")].flatMap(([{ name, securityContext }]) =>
    annotations[APP_ARMOR + name] === undefined || securityContext?.appArmorProfile !== undefined
      ? []
      : [useAppArmorField(metadata, name)],
  );
}
