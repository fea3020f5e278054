/** Rules of pods for Windows, and of what pods for one operating system may not say about the other. */
import { isDns1123Subdomain } from "#pkg/apimachinery/index.ts";
import type { Container, PodSpec, WindowsSecurityContextOptions } from "../../types/core-v1.ts";
import {
  allInvalid,
  type FieldError,
  forbidden,
  invalid,
  isEmpty,
  notSupported,
  required,
} from "../../validation/rules.ts";

const MAX_CREDENTIAL_SPEC_KIB = 64;
const MAX_DOMAIN = 256;
const MAX_USER = 104;
// oxlint-disable-next-line no-control-regex -- control characters are what is looked for
const CONTROL = /[\u0000-\u001f\u007f]/;
const NETBIOS_DOMAIN = /^[^\\/:*?"<>|.][^\\/:*?"<>|]{0,14}$/;
const DNS_DOMAIN =
  /^[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?(?:\.[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?)*$/;

/** What is wrong with DOMAIN\user or user. */
function userNameErrors(name: string): string[] {
  if (name === "") return ["runAsUserName cannot be an empty string"];
  if (CONTROL.test(name)) return ["runAsUserName cannot contain control characters"];
  const parts = name.split("\\");
  if (parts.length > 2) return ["runAsUserName cannot contain more than one backslash"];
  const user = parts.at(-1)!;
  const domain = parts.length === 2 ? parts[0]! : undefined;
  const messages: string[] = [];
  if (domain !== undefined && domain.length >= MAX_DOMAIN) {
    messages.push(`runAsUserName's Domain length must be under ${MAX_DOMAIN} characters`);
  }
  if (domain !== undefined && !NETBIOS_DOMAIN.test(domain) && !DNS_DOMAIN.test(domain)) {
    messages.push("runAsUserName's Domain doesn't match the NetBios nor the DNS format");
  }
  if (user === "") messages.push("runAsUserName's User cannot be empty");
  else if (user.length > MAX_USER) {
    messages.push(`runAsUserName's User length must not be longer than ${MAX_USER} characters`);
  }
  if (/^[. ]+$/.test(user)) messages.push("runAsUserName's User cannot contain only periods or spaces");
  if (/["/\\:;|=,+*?<>@[\]]/.test(user)) {
    messages.push(`runAsUserName's User cannot contain the following characters: "/\\:;|=,+*?<>@[]`);
  }
  return messages;
}

export function validateWindowsOptions(options: WindowsSecurityContextOptions | undefined, path: string): FieldError[] {
  if (options === undefined) return [];
  const { gmsaCredentialSpecName, gmsaCredentialSpec, runAsUserName } = options;
  const errors: FieldError[] = [];
  if (gmsaCredentialSpecName !== undefined) {
    const messages = isDns1123Subdomain(gmsaCredentialSpecName);
    errors.push(...allInvalid(`${path}.gmsaCredentialSpecName`, gmsaCredentialSpecName, messages));
  }
  const at = `${path}.gmsaCredentialSpec`;
  if (gmsaCredentialSpec === "") {
    errors.push(invalid(at, gmsaCredentialSpec, "gmsaCredentialSpec cannot be an empty string"));
  } else if ((gmsaCredentialSpec ?? "").length > MAX_CREDENTIAL_SPEC_KIB * 1024) {
    const why = `gmsaCredentialSpec size must be under ${MAX_CREDENTIAL_SPEC_KIB} KiB`;
    errors.push(invalid(at, gmsaCredentialSpec, why));
  }
  if (runAsUserName !== undefined) {
    errors.push(...allInvalid(`${path}.runAsUserName`, runAsUserName, userNameErrors(runAsUserName)));
  }
  return errors;
}

/** All containers of a pod with their paths, in upstream's order. */
export function* containersOf(spec: PodSpec, path: string): Generator<readonly [Container, string]> {
  for (const field of ["initContainers", "containers", "ephemeralContainers"] as const) {
    for (const [index, container] of (spec[field] ?? []).entries()) yield [container, `${path}.${field}[${index}]`];
  }
}

/** Containers that are processes of a Windows node: all of a pod's or none, and on the node's network. */
export function validateHostProcess(spec: PodSpec, path: string): FieldError[] {
  const ofPod = spec.securityContext?.windowsOptions?.hostProcess;
  const errors: FieldError[] = [];
  let containers = 0;
  let processes = 0;
  for (const [{ securityContext }, at] of containersOf(spec, path)) {
    containers++;
    const own = securityContext?.windowsOptions?.hostProcess;
    if (ofPod !== undefined && own !== undefined && ofPod !== own) {
      const why = `pod hostProcess value must be identical if both are specified, was ${ofPod}`;
      errors.push(invalid(`${at}.securityContext.windowsOptions.hostProcess`, own, why));
    }
    if ((own ?? ofPod) === true) processes++;
  }
  if (processes === 0) return errors;
  if (processes !== containers) {
    const why = "If pod contains any hostProcess containers then all containers must be HostProcess containers";
    errors.push(invalid(path, "", why));
  }
  if (spec.hostNetwork !== true) {
    const why = "hostNetwork must be true if pod contains any hostProcess containers";
    errors.push(invalid(`${path}.hostNetwork`, false, why));
  }
  return errors;
}

/** Fields of a pod that mean nothing on Windows, in upstream's order; those without a dot are the spec's own. */
const NOT_WINDOWS_POD = [
  "securityContext.appArmorProfile",
  "securityContext.seLinuxOptions",
  "hostUsers",
  "hostPID",
  "hostIPC",
  "securityContext.seccompProfile",
  "securityContext.fsGroup",
  "securityContext.fsGroupChangePolicy",
  "securityContext.sysctls",
  "shareProcessNamespace",
  "securityContext.runAsUser",
  "securityContext.runAsGroup",
  "securityContext.supplementalGroups",
  "securityContext.supplementalGroupsPolicy",
  "securityContext.seLinuxChangePolicy",
] as const;
const NOT_WINDOWS_CONTAINER = [
  "appArmorProfile",
  "seLinuxOptions",
  "seccompProfile",
  "capabilities",
  "readOnlyRootFilesystem",
  "privileged",
  "allowPrivilegeEscalation",
  "procMount",
  "runAsUser",
  "runAsGroup",
] as const;

/** Flags of the pod that count only when they are set to true. */
const FLAGS: ReadonlySet<string> = new Set(["hostPID", "hostIPC"]);

function validateWindowsPod(spec: PodSpec, path: string): FieldError[] {
  const errors: FieldError[] = [];
  const refuse = (at: string) => errors.push(forbidden(at, "cannot be set for a windows pod"));
  const context = spec.securityContext as Readonly<Record<string, unknown>> | undefined;
  const own = spec as unknown as Readonly<Record<string, unknown>>;
  for (const field of NOT_WINDOWS_POD) {
    const [outer, inner] = field.split(".") as [string, string?];
    const value = inner === undefined ? own[outer] : context?.[inner];
    const absent = isEmpty(value) || (FLAGS.has(field) && value === false);
    if (!absent && !(Array.isArray(value) && value.length === 0)) refuse(`${path}.${field}`);
  }
  for (const [{ securityContext }, at] of containersOf(spec, path)) {
    for (const field of NOT_WINDOWS_CONTAINER) {
      if (securityContext?.[field] !== undefined) refuse(`${at}.securityContext.${field}`);
    }
  }
  return errors;
}

function validateLinuxPod(spec: PodSpec, path: string): FieldError[] {
  const errors: FieldError[] = [];
  const refuse = (at: string) =>
    errors.push(forbidden(`${at}.securityContext.windowsOptions`, "windows options cannot be set for a linux pod"));
  if (spec.securityContext?.windowsOptions !== undefined) refuse(path);
  for (const [{ securityContext }, at] of containersOf(spec, path)) {
    if (securityContext?.windowsOptions !== undefined) refuse(at);
  }
  return errors;
}

const SYSTEMS = ["linux", "windows"];

/** spec.os, and that the pod fits it. */
export function validateOs(spec: PodSpec, path: string): FieldError[] {
  if (spec.os === undefined) return [];
  const { name } = spec.os;
  if (isEmpty(name)) return [required(`${path}.os.name`, "cannot be empty")];
  if (!SYSTEMS.includes(name)) return [notSupported(`${path}.os`, name, SYSTEMS)];
  return name === "linux" ? validateLinuxPod(spec, path) : validateWindowsPod(spec, path);
}
