import {
  canonicalQuantity,
  isConfigMapKey,
  isDns1123Subdomain,
  isEnvVarName,
  isQualifiedName,
} from "#pkg/apimachinery/index.ts";
import type {
  EnvFromSource,
  EnvVar,
  EnvVarSource,
  ObjectFieldSelector,
  ResourceFieldSelector,
} from "../../types/core-v1.ts";
import {
  allInvalid,
  each,
  type FieldError,
  invalid,
  isEmpty,
  localPath,
  notSupported,
  required,
} from "../../validation/rules.ts";

const ENV_FIELDS: readonly string[] = [
  "metadata.name",
  "metadata.namespace",
  "metadata.uid",
  "spec.nodeName",
  "spec.serviceAccountName",
  "status.hostIP",
  "status.hostIPs",
  "status.podIP",
  "status.podIPs",
];
export const VOLUME_FIELDS: readonly string[] = [
  "metadata.annotations",
  "metadata.labels",
  "metadata.name",
  "metadata.namespace",
  "metadata.uid",
];

const CONVERTIBLE_FIELDS: ReadonlySet<string> = new Set([
  ...ENV_FIELDS,
  "metadata.labels",
  "metadata.annotations",
  "spec.restartPolicy",
  "spec.schedulerName",
  "spec.host",
  "status.phase",
]);

/** Splits metadata.labels['key'] into path and subscript. */
function splitSubscript(fieldPath: string): readonly [string, string] | undefined {
  const match = /^([^[]*)\['(.*)'\]$/s.exec(fieldPath);
  return match === null || match[1] === "" ? undefined : [match[1]!, match[2]!];
}

export function validateFieldRef(ref: ObjectFieldSelector, fields: readonly string[], path: string): FieldError[] {
  if (isEmpty(ref.apiVersion)) return [required(`${path}.apiVersion`)];
  if (isEmpty(ref.fieldPath)) return [required(`${path}.fieldPath`)];
  const { fieldPath } = ref;
  if (ref.apiVersion !== "v1") {
    const why = `error converting fieldPath: unsupported pod version: ${ref.apiVersion}`;
    return [invalid(`${path}.fieldPath`, fieldPath, why)];
  }
  const [field, subscript] = splitSubscript(fieldPath) ?? [fieldPath, undefined];
  if (!CONVERTIBLE_FIELDS.has(field)) {
    const why = `error converting fieldPath: field label not supported: ${field}`;
    return [invalid(`${path}.fieldPath`, fieldPath, why)];
  }
  if (subscript === undefined) {
    return fields.includes(field) ? [] : [notSupported(`${path}.fieldPath`, fieldPath, fields)];
  }
  if (field === "metadata.annotations") return allInvalid(path, subscript, isQualifiedName(subscript.toLowerCase()));
  if (field === "metadata.labels") return allInvalid(path, subscript, isQualifiedName(subscript));
  return [invalid(path, field, "does not support subscript")];
}

const RESOURCES: readonly string[] = [
  "limits.cpu",
  "limits.ephemeral-storage",
  "limits.memory",
  "requests.cpu",
  "requests.ephemeral-storage",
  "requests.memory",
];
const CPU_DIVISORS = ["1m", "1"];
const SIZE_DIVISORS = ["1", "1k", "1M", "1G", "1T", "1P", "1E", "1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei"];

/** Divisors of a resource and what upstream calls it; other resources have any divisor. */
function divisorsOf(resource: string): readonly [string, readonly string[]] | undefined {
  const [, name] = /^(?:limits|requests)\.(cpu|memory|ephemeral-storage|hugepages-)/.exec(resource) ?? [];
  if (name === "cpu") return ["cpu", CPU_DIVISORS];
  if (name === "hugepages-") return ["hugepages", SIZE_DIVISORS];
  if (name === undefined || !RESOURCES.includes(resource)) return undefined;
  return [name === "memory" ? "memory" : "local ephemeral storage", SIZE_DIVISORS];
}

function validateDivisor({ resource = "", divisor }: ResourceFieldSelector, path: string): FieldError[] {
  if (divisor === undefined) return [];
  const text = canonicalQuantity(divisor);
  // Zero stands for the default divisor.
  const [kind, known] = divisorsOf(resource) ?? [];
  if (text === "0" || known === undefined || known.includes(text)) return [];
  const list = known === CPU_DIVISORS ? "1m and 1" : known.join(", ");
  const why = `only divisor's values ${list} are supported with the ${kind} resource`;
  return [invalid(`${path}.divisor`, resource, why)];
}

export function validateResourceFieldRef(ref: ResourceFieldSelector, volume: boolean, path: string): FieldError[] {
  const errors: FieldError[] = [];
  if (volume && isEmpty(ref.containerName)) errors.push(required(`${path}.containerName`));
  else if (isEmpty(ref.resource)) errors.push(required(`${path}.resource`));
  else if (!RESOURCES.includes(ref.resource) && !/^(?:limits|requests)\.hugepages-/.test(ref.resource)) {
    errors.push(notSupported(`${path}.resource`, ref.resource, RESOURCES));
  }
  return [...errors, ...validateDivisor(ref, path)];
}

/** A key of a ConfigMap or Secret. */
function validateKeyRef(ref: { name?: string; key: string }, path: string): FieldError[] {
  const errors = allInvalid(`${path}.name`, ref.name ?? "", isDns1123Subdomain(ref.name ?? ""));
  if (isEmpty(ref.key)) errors.push(required(`${path}.key`));
  else errors.push(...allInvalid(`${path}.key`, ref.key, isConfigMapKey(ref.key)));
  return errors;
}

function validateFileKeyRef(ref: NonNullable<EnvVarSource["fileKeyRef"]>, path: string): FieldError[] {
  const errors: FieldError[] = [];
  if (isEmpty(ref.key)) errors.push(required(`${path}.key`));
  else errors.push(...allInvalid(`${path}.key`, ref.key, isEnvVarName(ref.key)));
  if (isEmpty(ref.volumeName)) errors.push(required(`${path}.volumeName`));
  if (isEmpty(ref.path)) errors.push(required(`${path}.path`));
  else errors.push(...localPath(ref.path, `${path}.path`));
  return errors;
}

function validateValueFrom({ value, valueFrom }: EnvVar, path: string): FieldError[] {
  if (valueFrom === undefined) return [];
  const errors: FieldError[] = [];
  const { fieldRef, resourceFieldRef, configMapKeyRef, secretKeyRef, fileKeyRef } = valueFrom;
  if (fieldRef !== undefined) errors.push(...validateFieldRef(fieldRef, ENV_FIELDS, `${path}.fieldRef`));
  if (resourceFieldRef !== undefined) {
    errors.push(...validateResourceFieldRef(resourceFieldRef, false, `${path}.resourceFieldRef`));
  }
  if (configMapKeyRef !== undefined) errors.push(...validateKeyRef(configMapKeyRef, `${path}.configMapKeyRef`));
  if (secretKeyRef !== undefined) errors.push(...validateKeyRef(secretKeyRef, `${path}.secretKeyRef`));
  if (fileKeyRef !== undefined) errors.push(...validateFileKeyRef(fileKeyRef, `${path}.fileKeyRef`));
  const sources = [fieldRef, resourceFieldRef, configMapKeyRef, secretKeyRef, fileKeyRef].filter(
    (source) => source !== undefined,
  ).length;
  if (sources === 0) {
    const options = "`fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`";
    errors.push(invalid(path, "", `must specify one of: ${options}`));
  } else if (!isEmpty(value)) errors.push(invalid(path, "", "may not be specified when `value` is not empty"));
  else if (sources > 1) errors.push(invalid(path, "", "may not have more than one field specified at a time"));
  return errors;
}

export function validateEnv(env: readonly EnvVar[] | undefined, path: string): FieldError[] {
  return each(env, path, (variable, at) => {
    const errors = isEmpty(variable.name)
      ? [required(`${at}.name`)]
      : allInvalid(`${at}.name`, variable.name, isEnvVarName(variable.name));
    if (variable.valueFrom !== undefined) errors.push(...validateValueFrom(variable, `${at}.valueFrom`));
    return errors;
  });
}

export function validateEnvFrom(sources: readonly EnvFromSource[] | undefined, path: string): FieldError[] {
  return each(sources, path, ({ prefix, configMapRef, secretRef }, at) => {
    const errors = isEmpty(prefix) ? [] : allInvalid(`${at}.prefix`, prefix, isEnvVarName(prefix!));
    const named = (name: string | undefined, field: string) =>
      isEmpty(name) ? [required(`${field}.name`)] : allInvalid(`${field}.name`, name, isDns1123Subdomain(name!));
    if (configMapRef !== undefined) errors.push(...named(configMapRef.name, `${at}.configMapRef`));
    if (secretRef !== undefined) errors.push(...named(secretRef.name, `${at}.secretRef`));
    if (configMapRef === undefined && secretRef === undefined) {
      errors.push(invalid(path, "", "must specify one of: `configMapRef` or `secretRef`"));
    } else if (configMapRef !== undefined && secretRef !== undefined) {
      errors.push(invalid(path, "", "may not have more than one field specified at a time"));
    }
    return errors;
  });
}
