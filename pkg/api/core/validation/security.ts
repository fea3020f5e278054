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
  validId,
} from "../../validation/rules.ts";

const PROFILE_TYPES = ["Localhost", "RuntimeDefault", "Unconfined"];

function validateLocalProfile(
  { type, localhostProfile }: SeccompProfile | AppArmorProfile,
  path: string,
  messages: { readonly absent: string; readonly present: string },
): FieldError[] {
  const at = `${path}.localhostProfile`;
  if (type === "Localhost") {
    return isEmpty(localhostProfile) ? [required(at, messages.absent)] : localPath(localhostProfile!, at);
  }
  return localhostProfile === undefined ? [] : [invalid(at, localhostProfile, messages.present)];
}

function validateSeccomp(profile: SeccompProfile | undefined, path: string): FieldError[] {
  if (profile === undefined) return [];
  const errors = oneOf(profile.type, PROFILE_TYPES, `${path}.type`);
  const messages = {
    absent: "must be set when seccomp type is Localhost",
    present: "can only be set when seccomp type is Localhost",
  };
  return [...errors, ...validateLocalProfile(profile, path, messages)];
}

function validateAppArmor(profile: AppArmorProfile | undefined, path: string): FieldError[] {
  if (profile === undefined) return [];
  const errors = oneOf(profile.type, PROFILE_TYPES, `${path}.type`);
  const messages = {
    absent: "must be set when AppArmor type is Localhost",
    present: "can only be set when AppArmor type is Localhost",
  };
  return [...errors, ...validateLocalProfile(profile, path, messages)];
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
    errors.push(...oneOf(context.procMount, ["Default", "Unmasked"], `${path}.procMount`));
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
  return each(spec.securityContext?.sysctls, path, ({ name }, at) => {
    if (isEmpty(name)) return [required(`${at}.name`)];
    if (name.length > MAX_SYSCTL_LENGTH || !SYSCTL.test(name)) {
      const why = `must have at most ${MAX_SYSCTL_LENGTH} characters and match regex ^${SYSCTL_FORMAT}$`;
      return [invalid(`${at}.name`, name, why)];
    }
    if (seen.has(name)) return [duplicate(`${at}.name`, name)];
    seen.add(name);
    const shared = sharedWithHost(name, spec);
    return shared === undefined ? [] : [invalid(`${at}.name`, name, `may not be specified when '${shared}' is true`)];
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
    errors.push(invalid(`${specPath}.shareProcessNamespace`, true, why));
  }
  errors.push(...validateSysctls(spec, `${path}.sysctls`));
  errors.push(
    ...oneOf(context.fsGroupChangePolicy, ["OnRootMismatch", "Always"], `${path}.fsGroupChangePolicy`, true),
    ...oneOf(context.supplementalGroupsPolicy, ["Merge", "Strict"], `${path}.supplementalGroupsPolicy`, true),
    ...oneOf(context.seLinuxChangePolicy, ["MountOption", "Recursive"], `${path}.seLinuxChangePolicy`, true),
    ...validateSeccomp(context.seccompProfile, `${path}.seccompProfile`),
    ...validateAppArmor(context.appArmorProfile, `${path}.appArmorProfile`),
  );
  return errors;
}

/** A pod in a user namespace of its own shares no other namespace with the node. */
export function validateHostUsers(spec: PodSpec, path: string): FieldError[] {
  if (spec.hostUsers !== false) return [];
  return (["hostNetwork", "hostPID", "hostIPC"] as const)
    .filter((field) => spec[field] === true)
    .map((field) => forbidden(`${path}.${field}`, "when `hostUsers` is false"));
}
