import type {
  AppArmorProfile,
  PodSecurityContext,
  PodSpec,
  SeccompProfile,
  SecurityContext,
} from "../../types/core-v1.ts";
import {
  duplicate,
  each,
  type FieldError,
  forbidden,
  invalid,
  isEmpty,
  localPath,
  oneOf,
  required,
  tooLong,
  validId,
  given,
} from "../../validation/rules.ts";
import { validateWindowsOptions } from "./windows.ts";

const PROFILE_TYPES = ["Localhost", "RuntimeDefault", "Unconfined"];

function validateProfileType(type: string | undefined, path: string, field: string): FieldError[] {
  if (isEmpty(type)) return [required(path, `type is required when ${field} is set`)];
  return oneOf(type, PROFILE_TYPES, path);
}

function validateSeccomp(profile: SeccompProfile | undefined, path: string): FieldError[] {
  if (profile === undefined) return [];
  const errors = validateProfileType(profile.type, `${path}.type`, "seccompProfile");
  const { type, localhostProfile } = profile;
  const at = `${path}.localhostProfile`;
  if (type === "Localhost") {
    if (localhostProfile === undefined) errors.push(required(at, "must be set when seccomp type is Localhost"));
    else errors.push(...localPath(localhostProfile, at));
  } else if (localhostProfile !== undefined) {
    const shown = { Type: type ?? "", LocalhostProfile: localhostProfile };
    errors.push(invalid(at, shown, "can only be set when seccomp type is Localhost"));
  }
  return errors;
}

/** Longest path that the kernel takes. */
const MAX_PROFILE_NAME = 4095;

function validateLocalAppArmor(name: string | undefined, path: string): FieldError[] {
  const absent = required(path, "must be set when AppArmor type is Localhost");
  if (name === undefined || name === "") return [absent];
  const errors = name.trim() === name ? [] : [invalid(path, name, "must not be padded with whitespace")];
  return name.length > MAX_PROFILE_NAME ? [...errors, tooLong(path, MAX_PROFILE_NAME)] : errors;
}

export function validateAppArmor(profile: AppArmorProfile | undefined, path: string): FieldError[] {
  if (profile === undefined) return [];
  const { type, localhostProfile } = profile;
  const at = `${path}.localhostProfile`;
  if (type === "Localhost") return validateLocalAppArmor(localhostProfile, at);
  const errors = validateProfileType(type, `${path}.type`, "appArmorProfile");
  if (errors.length > 0 || localhostProfile === undefined) return errors;
  return [invalid(at, localhostProfile, "can only be set when AppArmor type is Localhost")];
}

/** The security context of a container. */
export function validateSecurityContext(
  context: SecurityContext | undefined,
  path: string,
  hostUsers: boolean,
): FieldError[] {
  if (context === undefined) return [];
  const errors = [
    ...validId(context.runAsUser, `${path}.runAsUser`),
    ...validId(context.runAsGroup, `${path}.runAsGroup`),
  ];
  if (context.procMount !== undefined) {
    errors.push(...given(context.procMount, ["Default", "Unmasked"], `${path}.procMount`));
    if (context.procMount === "Unmasked" && hostUsers) {
      const why = "`hostUsers` must be false to use `Unmasked`";
      errors.push(invalid(`${path}.procMount`, context.procMount, why));
    }
  }
  errors.push(...validateSeccomp(context.seccompProfile, `${path}.seccompProfile`));
  if (context.allowPrivilegeEscalation === false) {
    if (context.privileged === true) {
      errors.push(invalid(path, context, "cannot set `allowPrivilegeEscalation` to false and `privileged` to true"));
    }
    if (context.capabilities?.add?.includes("CAP_SYS_ADMIN") === true) {
      const why = "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN";
      errors.push(invalid(path, context, why));
    }
  }
  errors.push(...validateWindowsOptions(context.windowsOptions, `${path}.windowsOptions`));
  errors.push(...validateAppArmor(context.appArmorProfile, `${path}.appArmorProfile`));
  return errors;
}

const SYSCTL_SEGMENT = "[a-z0-9]([-_a-z0-9]*[a-z0-9])?";
const SYSCTL_FORMAT = `(${SYSCTL_SEGMENT}[\\./])*${SYSCTL_SEGMENT}`;
const SYSCTL = new RegExp(`^${SYSCTL_FORMAT}$`);
const MAX_SYSCTL_LENGTH = 253;

/** Sysctls that belong to a namespace which hostNetwork or hostIPC share with the node. */
function sharedWithHost(name: string, spec: PodSpec): string | undefined {
  const dotted = name.replaceAll("/", ".");
  if (spec.hostNetwork === true && dotted.startsWith("net.")) return "hostNetwork";
  const ipc = /^(?:kernel\.(?:sem$|shm|msg)|fs\.mqueue\.)/.test(dotted);
  return spec.hostIPC === true && ipc ? "hostIPC" : undefined;
}

function validateSysctls(spec: PodSpec, path: string): FieldError[] {
  const seen = new Set<string>();
  return each(spec.securityContext?.sysctls, path, ({ name = "" }, at) => {
    const errors: FieldError[] = [];
    if (name === "") errors.push(required(`${at}.name`));
    else if (name.length > MAX_SYSCTL_LENGTH || !SYSCTL.test(name)) {
      const why = `must have at most ${MAX_SYSCTL_LENGTH} characters and match regex ^${SYSCTL_FORMAT}$`;
      errors.push(invalid(`${at}.name`, name, why));
    } else if (seen.has(name)) errors.push(duplicate(`${at}.name`, name));
    seen.add(name);
    const shared = sharedWithHost(name, spec);
    if (shared !== undefined) errors.push(invalid(`${at}.name`, name, `may not be specified when '${shared}' is true`));
    return errors;
  });
}

function validateIds(context: PodSecurityContext, path: string): FieldError[] {
  return [
    ...validId(context.fsGroup, `${path}.fsGroup`),
    ...validId(context.runAsUser, `${path}.runAsUser`),
    ...validId(context.runAsGroup, `${path}.runAsGroup`),
    ...each(context.supplementalGroups, `${path}.supplementalGroups`, validId),
  ];
}

/** spec.securityContext, and the fields of the spec that upstream keeps with it. */
export function validatePodSecurityContext(spec: PodSpec, specPath: string): FieldError[] {
  const path = `${specPath}.securityContext`;
  const errors: FieldError[] = [];
  const context = spec.securityContext ?? {};
  errors.push(...validateIds(context, path));
  if (spec.shareProcessNamespace === true && spec.hostPID === true) {
    const why = "ShareProcessNamespace and HostPID cannot both be enabled";
    errors.push(invalid(`${path}.shareProcessNamespace`, true, why));
  }
  errors.push(...validateSysctls(spec, `${path}.sysctls`));
  errors.push(
    ...given(context.fsGroupChangePolicy, ["Always", "OnRootMismatch"], `${path}.fsGroupChangePolicy`),
    ...validateSeccomp(context.seccompProfile, `${path}.seccompProfile`),
    ...validateWindowsOptions(context.windowsOptions, `${path}.windowsOptions`),
    ...validateAppArmor(context.appArmorProfile, `${path}.appArmorProfile`),
    ...given(context.supplementalGroupsPolicy, ["Merge", "Strict"], `${path}.supplementalGroupsPolicy`),
    ...given(context.seLinuxChangePolicy, ["MountOption", "Recursive"], `${path}.seLinuxChangePolicy`),
  );
  return errors;
}

/** A pod in a user namespace of its own shares no other namespace with the node. */
export function validateHostUsers(spec: PodSpec, path: string): FieldError[] {
  if (spec.hostUsers !== false) return [];
  const shared = { hostNetwork: spec.hostNetwork, HostPID: spec.hostPID, HostIPC: spec.hostIPC };
  return Object.entries(shared)
    .filter(([, value]) => value === true)
    .map(([field]) => forbidden(`${path}.${field}`, "when `pod.Spec.HostUsers` is false"));
}
