import { DecodeError, decodeJson, isConfigMapKey, jsonKind } from "#pkg/apimachinery/index.ts";
import type { ConfigMap, Secret } from "../../types/core-v1.ts";
import {
  allInvalid,
  type FieldError,
  forbidden,
  immutable,
  invalid,
  isEmpty,
  required,
  sameValue,
  tooLong,
} from "../../validation/rules.ts";

/** Bytes of all values of one ConfigMap or Secret together. */
const MAX_DATA_BYTES = 1024 * 1024;

/** Bytes that base64 text stands for. */
function decodedLength(text: string): number {
  return Buffer.byteLength(text, "base64");
}

export function validateConfigMap(map: ConfigMap): FieldError[] {
  const { data = {}, binaryData = {} } = map;
  const errors: FieldError[] = [];
  let size = 0;
  // No Object.entries(): there may be a hundred thousand, and the list of them is garbage at once.
  for (const key in data) {
    const wrong = isConfigMapKey(key);
    if (wrong.length > 0) errors.push(...allInvalid(`data[${key}]`, key, wrong));
    if (map.binaryData !== undefined && Object.hasOwn(map.binaryData, key)) {
      errors.push(invalid(`data[${key}]`, key, "duplicate of key present in binaryData"));
    }
    size += Buffer.byteLength(data[key]!, "utf8");
  }
  for (const key in binaryData) {
    errors.push(...allInvalid(`binaryData[${key}]`, key, isConfigMapKey(key)));
    size += decodedLength(binaryData[key]!);
  }
  if (size > MAX_DATA_BYTES) errors.push(tooLong("", MAX_DATA_BYTES));
  return errors;
}

const IMMUTABLE_SET = "field is immutable when `immutable` is set";

export function validateConfigMapUpdate(map: ConfigMap, old: Readonly<ConfigMap>): FieldError[] {
  const errors: FieldError[] = [];
  if (old.immutable === true) {
    if (map.immutable !== true) errors.push(forbidden("immutable", IMMUTABLE_SET));
    if (!sameValue(map.data, old.data)) errors.push(forbidden("data", IMMUTABLE_SET));
    if (!sameValue(map.binaryData, old.binaryData)) errors.push(forbidden("binaryData", IMMUTABLE_SET));
  }
  return [...errors, ...validateConfigMap(map)];
}

/** Keys that each type of Secret must hold. */
const REQUIRED_KEYS: Readonly<Record<string, readonly string[]>> = {
  "kubernetes.io/dockercfg": [".dockercfg"],
  "kubernetes.io/dockerconfigjson": [".dockerconfigjson"],
  "kubernetes.io/ssh-auth": ["ssh-privatekey"],
  "kubernetes.io/tls": ["tls.crt", "tls.key"],
};
const ACCOUNT_NAME = "kubernetes.io/service-account.name";

function validateType(secret: Secret): FieldError[] {
  const { type = "", data = {} } = secret;
  const has = (key: string) => Object.hasOwn(data, key);
  if (type === "kubernetes.io/service-account-token") {
    const name = secret.metadata.annotations?.[ACCOUNT_NAME];
    return isEmpty(name) ? [required(`metadata.annotations[${ACCOUNT_NAME}]`)] : [];
  }
  if (type === "kubernetes.io/basic-auth") {
    return has("username") || has("password") ? [] : [required("data[username]"), required("data[password]")];
  }
  const errors: FieldError[] = [];
  for (const key of REQUIRED_KEYS[type] ?? []) {
    // A private key must say something; the other keys need only be there.
    if (!has(key) || (key === "ssh-privatekey" && data[key] === "")) errors.push(required(`data[${key}]`));
    else if (key.startsWith(".docker")) errors.push(...validateJson(key, data[key]!));
  }
  return errors;
}

function validateJson(key: string, value: string): FieldError[] {
  const problem = jsonObjectProblem(Buffer.from(value, "base64"));
  return problem === undefined ? [] : [invalid(`data[${key}]`, "<secret contents redacted>", problem)];
}

/** Why these bytes are no JSON object, in the words of Go's decoder, which clients show to people. */
function jsonObjectProblem(bytes: Uint8Array): string | undefined {
  try {
    const { value } = decodeJson(bytes, { duplicates: false });
    if (value === null || (typeof value === "object" && !Array.isArray(value))) return undefined;
    return `json: cannot unmarshal ${jsonKind(value)} into Go value of type map[string]interface {}`;
  } catch (error) {
    if (error instanceof DecodeError) return error.message;
    throw error;
  }
}

export function validateSecret(secret: Secret): FieldError[] {
  const errors: FieldError[] = [];
  let size = 0;
  for (const [key, value] of Object.entries(secret.data ?? {})) {
    errors.push(...allInvalid(`data[${key}]`, key, isConfigMapKey(key)));
    size += decodedLength(value);
  }
  if (size > MAX_DATA_BYTES) errors.push(tooLong("data", MAX_DATA_BYTES));
  return [...errors, ...validateType(secret)];
}

export function validateSecretUpdate(secret: Secret, old: Readonly<Secret>): FieldError[] {
  const errors = immutable(secret.type, old.type, "type");
  if (old.immutable === true) {
    if (secret.immutable !== true) errors.push(forbidden("immutable", IMMUTABLE_SET));
    if (!sameValue(secret.data, old.data)) errors.push(forbidden("data", IMMUTABLE_SET));
  }
  return [...errors, ...validateSecret(secret)];
}
