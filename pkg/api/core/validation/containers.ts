import { isValidPortName, isValidPortNumber } from "#pkg/apimachinery/index.ts";
import type {
  Container,
  ContainerPort,
  ContainerRestartRule,
  EphemeralContainer,
  PodSpec,
  Volume,
  VolumeDevice,
  VolumeMount,
} from "../../types/core-v1.ts";
import {
  allInvalid,
  dnsLabel,
  duplicate,
  each,
  type FieldError,
  forbidden,
  invalid,
  isEmpty,
  localPath,
  missing,
  noBacksteps,
  notSupported,
  given,
  oneOf,
  required,
} from "../../validation/rules.ts";
import { validateEnv, validateEnvFrom } from "./env.ts";
import { validateLifecycle } from "./probes.ts";
import { validateResizePolicies, validateResources } from "./resources.ts";
import { validateSecurityContext } from "./security.ts";

const PROTOCOLS = ["SCTP", "TCP", "UDP"];
const PULL_POLICIES = ["Always", "IfNotPresent", "Never"];
const MESSAGE_POLICIES = ["File", "FallbackToLogsOnError"];

function validatePorts(ports: readonly ContainerPort[] | undefined, path: string): FieldError[] {
  const names = new Set<string>();
  return each(ports, path, (port, at) => {
    const errors: FieldError[] = [];
    if (!isEmpty(port.name)) {
      const messages = isValidPortName(port.name!);
      errors.push(...allInvalid(`${at}.name`, port.name, messages));
      if (messages.length === 0 && names.has(port.name!)) errors.push(duplicate(`${at}.name`, port.name));
      names.add(port.name!);
    }
    if (!port.containerPort) errors.push(required(`${at}.containerPort`));
    else errors.push(...allInvalid(`${at}.containerPort`, port.containerPort, isValidPortNumber(port.containerPort)));
    if (port.hostPort) errors.push(...allInvalid(`${at}.hostPort`, port.hostPort, isValidPortNumber(port.hostPort)));
    return [...errors, ...oneOf(port.protocol, PROTOCOLS, `${at}.protocol`)];
  });
}

/** Some fields of a mount are reported as if they were the list's: that is upstream's spelling. */
function validateMounts(
  mounts: readonly VolumeMount[] | undefined,
  container: Container,
  volumes: ReadonlyMap<string, Volume>,
  path: string,
): FieldError[] {
  const seen = new Set<string>();
  const devices = container.volumeDevices ?? [];
  return each(mounts, path, (mount, at) => {
    const { name = "", mountPath = "", subPath, subPathExpr } = mount;
    const errors: FieldError[] = [];
    if (name === "") errors.push(required(`${at}.name`));
    if (!volumes.has(name)) errors.push(missing(`${at}.name`, name));
    if (mountPath === "") errors.push(required(`${at}.mountPath`));
    if (seen.has(mountPath)) errors.push(invalid(`${at}.mountPath`, mountPath, "must be unique"));
    seen.add(mountPath);
    if (devices.some((device) => device.name === name)) {
      errors.push(invalid(`${at}.name`, name, "must not already exist in volumeDevices"));
    }
    if (devices.some(({ devicePath }) => devicePath === mountPath)) {
      errors.push(invalid(`${at}.mountPath`, mountPath, "must not already exist as a path in volumeDevices"));
    }
    if (!isEmpty(subPath)) errors.push(...localPath(subPath!, `${path}.subPath`));
    if (!isEmpty(subPathExpr)) {
      if (!isEmpty(subPath)) {
        errors.push(invalid(`${at}.subPathExpr`, subPathExpr, "subPathExpr and subPath are mutually exclusive"));
      }
      errors.push(...localPath(subPathExpr!, `${path}.subPathExpr`));
    }
    errors.push(...validatePropagation(mount, container, path), ...validateRecursiveReadOnly(mount, path));
    return errors;
  });
}

const PROPAGATIONS = ["Bidirectional", "HostToContainer", "None"];

function validatePropagation(mount: VolumeMount, container: Container, path: string): FieldError[] {
  const mode = mount.mountPropagation;
  if (mode === undefined) return [];
  if (!PROPAGATIONS.includes(mode)) return [notSupported(`${path}.mountPropagation`, mode, PROPAGATIONS)];
  if (mode === "Bidirectional" && container.securityContext?.privileged !== true) {
    return [
      forbidden(
        `${path}.mountPropagation`,
        "Bidirectional mount propagation is available only to privileged containers",
      ),
    ];
  }
  return [];
}

const RECURSIONS = ["Disabled", "Enabled", "IfPossible"];

function validateRecursiveReadOnly(mount: VolumeMount, path: string): FieldError[] {
  const mode = mount.recursiveReadOnly;
  if (mode === undefined) return [];
  const at = `${path}.recursiveReadOnly`;
  if (!RECURSIONS.includes(mode)) return [notSupported(at, mode, RECURSIONS)];
  const errors: FieldError[] = [];
  if (mode === "Disabled") return errors;
  if (mount.readOnly !== true) errors.push(forbidden(at, "may only be specified when readOnly is true"));
  if (mount.mountPropagation !== undefined && mount.mountPropagation !== "None") {
    errors.push(forbidden(at, "may only be specified when mountPropagation is None or not specified"));
  }
  return errors;
}

function validateDevices(
  devices: readonly VolumeDevice[] | undefined,
  container: Container,
  volumes: ReadonlyMap<string, Volume>,
  path: string,
): FieldError[] {
  const names = new Set<string>();
  const paths = new Set<string>();
  const mounts = container.volumeMounts ?? [];
  return each(devices, path, ({ name = "", devicePath = "" }, at) => {
    const errors: FieldError[] = [];
    const volume = volumes.get(name);
    if (name === "") errors.push(required(`${at}.name`));
    if (names.has(name)) errors.push(invalid(`${at}.name`, name, "must be unique"));
    if (volume === undefined) errors.push(missing(`${at}.name`, name));
    else if (volume.persistentVolumeClaim === undefined && volume.ephemeral === undefined) {
      const why = "can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode";
      errors.push(invalid(`${at}.name`, name, why));
    }
    if (devicePath === "") errors.push(required(`${at}.devicePath`));
    if (paths.has(devicePath)) errors.push(invalid(`${at}.devicePath`, devicePath, "must be unique"));
    if (noBacksteps(devicePath, at).length > 0) {
      errors.push(invalid(`${at}.devicePath`, devicePath, "can not contain backsteps ('..')"));
    } else paths.add(devicePath);
    if (mounts.some((mount) => mount.name === name)) {
      errors.push(invalid(`${at}.name`, name, "must not already exist in volumeMounts"));
    }
    if (mounts.some(({ mountPath }) => mountPath === devicePath)) {
      errors.push(invalid(`${at}.devicePath`, devicePath, "must not already exist as a path in volumeMounts"));
    }
    if (name !== "") names.add(name);
    return errors;
  });
}

/** What containers of one pod are checked against. */
export interface ContainerContext {
  readonly spec: PodSpec;
  readonly volumes: ReadonlyMap<string, Volume>;
  readonly claims: ReadonlySet<string>;
}

function validateCommon(container: Container, path: string, { spec, volumes, claims }: ContainerContext): FieldError[] {
  const { name, image = "" } = container;
  const errors = isEmpty(name) ? [required(`${path}.name`)] : dnsLabel(name, `${path}.name`);
  if (image === "") errors.push(required(`${path}.image`));
  errors.push(
    ...oneOf(container.terminationMessagePolicy, MESSAGE_POLICIES, `${path}.terminationMessagePolicy`),
    ...validatePorts(container.ports, `${path}.ports`),
    ...validateEnv(container.env, `${path}.env`),
    ...validateEnvFrom(container.envFrom, `${path}.envFrom`),
    ...validateMounts(container.volumeMounts, container, volumes, `${path}.volumeMounts`),
    ...validateDevices(container.volumeDevices, container, volumes, `${path}.volumeDevices`),
    ...oneOf(container.imagePullPolicy, PULL_POLICIES, `${path}.imagePullPolicy`),
    ...validateResources(container.resources, claims, `${path}.resources`),
    ...validateResizePolicies(container.resizePolicy, spec.restartPolicy, `${path}.resizePolicy`),
    ...validateSecurityContext(container.securityContext, `${path}.securityContext`, spec.hostUsers !== false),
  );
  return errors;
}

/** Images in templates may be padded, as they always could; those of pods may not. */
export function validateImagePadding({ image = "" }: Container, path: string): FieldError[] {
  if (image.trim() === image) return [];
  return [invalid(`${path}.image`, image, "must not have leading or trailing whitespace")];
}

/** On the node's network a container's port is the node's; templates may leave it to be filled in. */
export function validateHostNetworkPorts(spec: PodSpec, isPod: boolean, path: string): FieldError[] {
  if (spec.hostNetwork !== true) return [];
  return each(spec.containers, path, (container, at) =>
    each(container.ports, `${at}.ports`, ({ hostPort = 0, containerPort }, port) => {
      if (hostPort === containerPort || (hostPort === 0 && !isPod)) return [];
      return [invalid(`${port}.hostPort`, hostPort, "must match `containerPort` when `hostNetwork` is true")];
    }),
  );
}

function validateHostPortConflicts(containers: readonly Container[], path: string): FieldError[] {
  const taken = new Set<string>();
  return each(containers, path, (container, at) =>
    each(container.ports, `${at}.ports`, ({ hostPort, hostIP = "", protocol }, port) => {
      if (!hostPort) return [];
      const key = `${protocol}/${hostIP}/${hostPort}`;
      if (taken.has(key)) return [duplicate(`${port}.hostPort`, key)];
      taken.add(key);
      return [];
    }),
  );
}

const RESTART_ACTIONS = ["Restart", "RestartAllContainers"];
const MAX_RULES = 20;

function validateRestartRules(container: Container, path: string): FieldError[] {
  const rules = container.restartPolicyRules;
  if (rules === undefined) return [];
  if (isEmpty(container.restartPolicy)) {
    return [required(`${path}.restartPolicy`, "must specify restartPolicy when restart rules are used")];
  }
  const errors: FieldError[] = [];
  if (rules.length > MAX_RULES) {
    errors.push(invalid(`${path}.restartPolicyRules`, rules.length, `must have at most ${MAX_RULES} items`));
  }
  const validateRule = ({ action, exitCodes }: ContainerRestartRule, at: string): FieldError[] => [
    ...oneOf(action, RESTART_ACTIONS, `${at}.action`),
    ...(exitCodes === undefined
      ? [required(`${at}.exitCodes`, "must be specified")]
      : oneOf(exitCodes.operator, ["In", "NotIn"], `${at}.exitCodes.operator`)),
  ];
  return [...errors, ...each(rules, `${path}.restartPolicyRules`, validateRule)];
}

export function validateContainers(context: ContainerContext, path: string): FieldError[] {
  const { spec } = context;
  const containers = spec.containers ?? [];
  if (containers.length === 0) return [required(path)];
  const names = new Set<string>();
  const errors = each(containers, path, (container, at) => {
    const found = validateCommon(container, at, context);
    if (names.has(container.name ?? "")) found.push(duplicate(`${at}.name`, container.name ?? ""));
    names.add(container.name ?? "");
    found.push(...validateLifecycle(container, at, spec.terminationGracePeriodSeconds, spec.os?.name === "windows"));
    found.push(...given(container.restartPolicy, ["Always", "OnFailure", "Never"], `${at}.restartPolicy`));
    found.push(...validateRestartRules(container, at));
    return found;
  });
  return [...errors, ...validateHostPortConflicts(containers, path)];
}

const RUNNING_FIELDS = ["lifecycle", "livenessProbe", "readinessProbe", "startupProbe"] as const;

/** Init containers run one after the other; only sidecars (restartPolicy Always) may have probes and hooks. */
export function validateInitContainers(context: ContainerContext, path: string): FieldError[] {
  const { spec } = context;
  const names = new Set((spec.containers ?? []).map(({ name }) => name));
  return each(spec.initContainers, path, (container, at) => {
    const errors = validateCommon(container, at, context);
    const sidecar = container.restartPolicy === "Always";
    errors.push(...given(container.restartPolicy, ["Always", "OnFailure", "Never"], `${at}.restartPolicy`));
    if (names.has(container.name ?? "")) errors.push(duplicate(`${at}.name`, container.name ?? ""));
    else if (!isEmpty(container.name)) names.add(container.name);
    errors.push(...validateHostPortConflicts([container], path));
    if (sidecar) {
      errors.push(...validateLifecycle(container, at, spec.terminationGracePeriodSeconds, spec.os?.name === "windows"));
    } else {
      for (const field of RUNNING_FIELDS) {
        if (container[field] !== undefined) {
          errors.push(forbidden(`${at}.${field}`, "may not be set for init containers without restartPolicy=Always"));
        }
      }
    }
    if ((container.resizePolicy ?? []).length > 0 && !sidecar) {
      errors.push(
        invalid(`${at}.resizePolicy`, container.resizePolicy, "must not be set for non-sidecar init containers"),
      );
    }
    return [...errors, ...validateRestartRules(container, at)];
  });
}

/** Fields that only make sense for containers planned from the start. */
const NOT_EPHEMERAL = [
  "ports",
  "resources",
  "resizePolicy",
  "restartPolicy",
  "restartPolicyRules",
  "livenessProbe",
  "readinessProbe",
  "startupProbe",
  "lifecycle",
] as const;

/** Lists and resources are there when something is in them; probes and hooks also when they are empty. */
function isSet(field: (typeof NOT_EPHEMERAL)[number], value: unknown): boolean {
  if (isEmpty(value)) return false;
  if (!Array.isArray(value) && field !== "resources") return true;
  return Object.keys(value as object).length > 0;
}

export function validateEphemeralContainers(context: ContainerContext, path: string): FieldError[] {
  const { spec } = context;
  const others = new Set([...(spec.containers ?? []), ...(spec.initContainers ?? [])].map(({ name }) => name));
  const names = new Set(others);
  return each(spec.ephemeralContainers, path, (container: EphemeralContainer, at) => {
    const errors = [...validateCommon(container, at, context), ...validateImagePadding(container, at)];
    if (names.has(container.name ?? "")) errors.push(duplicate(`${at}.name`, container.name ?? ""));
    names.add(container.name ?? "");
    const target = container.targetContainerName;
    if (!isEmpty(target) && !others.has(target!)) errors.push(missing(`${at}.targetContainerName`, target));
    for (const field of NOT_EPHEMERAL) {
      if (isSet(field, container[field]))
        errors.push(forbidden(`${at}.${field}`, "cannot be set for an Ephemeral Container"));
    }
    for (const [index, mount] of (container.volumeMounts ?? []).entries()) {
      for (const field of ["subPath", "subPathExpr"] as const) {
        if (isEmpty(mount[field])) continue;
        errors.push(forbidden(`${at}.volumeMounts[${index}].${field}`, "cannot be set for an Ephemeral Container"));
      }
    }
    return errors;
  });
}
