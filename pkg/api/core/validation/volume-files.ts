/** Volumes that are files made from objects of the API. */
import type {
  ConfigMapVolumeSource,
  DownwardAPIVolumeFile,
  DownwardAPIVolumeSource,
  KeyToPath,
  SecretVolumeSource,
} from "../../types/core-v1.ts";
import { each, type FieldError, invalid, isEmpty, localPath, required } from "../../validation/rules.ts";
import { validateFieldRef, validateResourceFieldRef, VOLUME_FIELDS } from "./env.ts";

const MAX_MODE = 0o777;

export function validateMode(mode: number | undefined, path: string): FieldError[] {
  if (mode === undefined || (mode >= 0 && mode <= MAX_MODE)) return [];
  return [invalid(path, mode, "must be a number between 0 and 0777 (octal), both inclusive")];
}

/** A path for a file inside a volume: relative, and not one of the names that atomic updates use. */
export function validateVolumeFilePath(value: string, path: string): FieldError[] {
  const errors = localPath(value, path);
  if (value.startsWith("..") && !value.startsWith("../")) {
    errors.push(invalid(path, value, "must not start with '..'"));
  }
  return errors;
}

/** A key of an object and the file it becomes. */
export function validateItem({ key, path: file, mode }: KeyToPath, path: string): FieldError[] {
  return [
    ...(isEmpty(key) ? [required(`${path}.key`)] : []),
    ...(isEmpty(file) ? [required(`${path}.path`)] : validateVolumeFilePath(file, `${path}.path`)),
    ...validateMode(mode, `${path}.mode`),
  ];
}

export function validateConfigMapFiles(source: ConfigMapVolumeSource, path: string): FieldError[] {
  return [
    ...(isEmpty(source.name) ? [required(`${path}.name`)] : []),
    ...validateMode(source.defaultMode, `${path}.defaultMode`),
    ...each(source.items, `${path}.items`, validateItem),
  ];
}

export function validateSecretFiles(source: SecretVolumeSource, path: string): FieldError[] {
  return [
    ...(isEmpty(source.secretName) ? [required(`${path}.secretName`)] : []),
    ...validateMode(source.defaultMode, `${path}.defaultMode`),
    ...each(source.items, `${path}.items`, validateItem),
  ];
}

/** One file of the downward API; upstream names the volume in the paths of its errors, not the file. */
export function validateDownwardFile(file: DownwardAPIVolumeFile, path: string): FieldError[] {
  const errors = isEmpty(file.path) ? [required(`${path}.path`)] : validateVolumeFilePath(file.path, `${path}.path`);
  if (file.fieldRef !== undefined) {
    errors.push(...validateFieldRef(file.fieldRef, VOLUME_FIELDS, `${path}.fieldRef`));
    if (file.resourceFieldRef !== undefined) {
      errors.push(invalid(path, "resource", "fieldRef and resourceFieldRef can not be specified simultaneously"));
    }
  } else if (file.resourceFieldRef !== undefined) {
    errors.push(...validateResourceFieldRef(file.resourceFieldRef, true, `${path}.resourceFieldRef`));
  } else errors.push(required(path, "one of fieldRef and resourceFieldRef is required"));
  return [...errors, ...validateMode(file.mode, `${path}.mode`)];
}

export function validateDownwardFiles(source: DownwardAPIVolumeSource, path: string): FieldError[] {
  return [
    ...validateMode(source.defaultMode, `${path}.defaultMode`),
    ...(source.items ?? []).flatMap((file) => validateDownwardFile(file, path)),
  ];
}
