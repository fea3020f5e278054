import { embeddedObjects } from "#pkg/api/index.ts";
import {
  type FieldError,
  type FieldSchema,
  fieldInvalid,
  fieldRequired,
  isDns1035Label,
  isRecord,
  type KubeObject,
  type ObjectMeta,
} from "#pkg/apimachinery/index.ts";
import { validateEmbeddedMeta } from "../registry/object-meta.ts";

/** Objects inside a custom resource say what they are, and their metadata keeps to every object's rules. */
export function validateEmbedded(schema: FieldSchema, value: KubeObject): FieldError[] {
  return embeddedObjects(schema, value).flatMap(({ path, object }) => {
    const { apiVersion, kind, metadata } = object;
    return [
      ...validateText(`${path}.apiVersion`, apiVersion, apiVersionProblem),
      ...validateText(`${path}.kind`, kind, kindProblem),
      ...(isRecord(metadata) ? validateEmbeddedMeta(metadata as ObjectMeta, `${path}.metadata`) : []),
    ];
  });
}

function validateText(path: string, value: unknown, problemOf: (text: string) => string | undefined): FieldError[] {
  if (value === undefined || value === "") return [fieldRequired(path)];
  if (typeof value !== "string") return [fieldInvalid(path, value, "must be a string")];
  const problem = problemOf(value);
  return problem === undefined ? [] : [fieldInvalid(path, value, problem)];
}

function apiVersionProblem(text: string): string | undefined {
  return text.split("/").length <= 2 ? undefined : `unexpected GroupVersion string: ${text}`;
}

function kindProblem(text: string): string | undefined {
  const problems = isDns1035Label(text.toLowerCase());
  return problems.length === 0 ? undefined : `may have mixed case, but should otherwise match: ${problems.join(",")}`;
}
