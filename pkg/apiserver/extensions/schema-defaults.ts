/** Defaults are values that their own schemas accept. */
import { prune, structuralSchema } from "#pkg/api/index.ts";
import {
  deepCopy,
  deepEqual,
  type FieldError,
  fieldInvalid,
  fieldRequired,
  isRecord,
} from "#pkg/apimachinery/index.ts";
import { compileRules } from "./rules.ts";
import { compileValues } from "./value-validation.ts";

type Raw = Record<string, unknown>;

export function validateDefaults(raw: Raw, path: string): FieldError[] {
  const errors: FieldError[] = [];
  walk({ ...raw, "x-kubernetes-embedded-resource": true }, path, errors);
  return errors;
}

/** Entries of maps have no defaults: those of metadata are not followed either, since objects have theirs. */
function walk(raw: Raw, path: string, errors: FieldError[]): void {
  if (raw["default"] !== undefined) errors.push(...defaultErrors(raw, `${path}.default`));
  if (isRecord(raw["items"])) walk(raw["items"], `${path}.items`, errors);
  if (!isRecord(raw["properties"])) return;
  for (const [name, member] of Object.entries(raw["properties"])) {
    const isOwn = name === "metadata" && raw["x-kubernetes-embedded-resource"] === true;
    if (isRecord(member) && !isOwn) walk(member, `${path}.properties[${name}]`, errors);
  }
}

function defaultErrors(raw: Raw, path: string): FieldError[] {
  const value = raw["default"];
  const schema = structuralSchema(raw);
  const errors: FieldError[] = [];
  if (!deepEqual(prune(schema, deepCopy(value)), value))
    errors.push(fieldInvalid(path, value, "must not have unknown fields"));
  if (raw["x-kubernetes-embedded-resource"] === true && isRecord(value)) {
    const missing = ["apiVersion", "kind"].filter((name) => value[name] === undefined);
    if (missing.length > 0) return [...errors, ...missing.map((name) => fieldRequired(`${path}.${name}`))];
  }
  const wrong = compileValues(raw)(value, "", undefined);
  if (wrong.length > 0) return [...errors, ...wrong.map((error) => below(path, error))];
  const { validate } = compileRules(schema, "");
  const transition = validate(value, value).errors;
  const refused = transition.length > 0 ? transition : validate(value, undefined).errors;
  return [...errors, ...refused.map((error) => below(path, error))];
}

function below(path: string, error: FieldError): FieldError {
  const field = error.field === "" || error.field === "<nil>" ? path : `${path}.${error.field}`;
  return { ...error, field };
}
