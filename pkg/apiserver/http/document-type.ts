import { jsonKind } from "#pkg/apimachinery/index.ts";

/** How Go's decoders begin to say that a document does not tell what it is. */
export const NO_TYPE = "couldn't get version/kind; json parse error";

/** Go's complaint about a document that is no object. */
export function noObject(value: unknown): string {
  const found = jsonKind(value);
  const fields = String.raw`APIVersion string "json:\"apiVersion,omitempty\""; Kind string "json:\"kind,omitempty\""`;
  return `${NO_TYPE}: json: cannot unmarshal ${found} into Go value of type struct { ${fields} }`;
}

/** Go's complaint about an object whose type is not named by texts. */
export function untyped(value: Record<string, unknown>): string | undefined {
  for (const name of ["apiVersion", "kind"]) {
    const text = value[name] ?? "";
    if (typeof text === "string") continue;
    return `${NO_TYPE}: json: cannot unmarshal ${jsonKind(text)} into Go struct field .${name} of type string`;
  }
  return undefined;
}

/** Go's complaint about a kind that the types of its decoder (a scheme, named by the place where it is made) do not have. */
export function notRegistered(apiVersion: string, kind: string, scheme: string): string {
  return `no kind ${JSON.stringify(kind)} is registered for version ${JSON.stringify(apiVersion)} in scheme "${scheme}"`;
}

/** Go's complaint about a kind that there is, in the place of another one. */
export function notConvertible(apiVersion: string, kind: string, into: string): string {
  return `converting (${apiVersion.split("/").at(-1)!}.${kind}) to (${into}): unknown conversion`;
}
