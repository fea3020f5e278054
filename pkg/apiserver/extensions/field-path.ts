import { isRecord } from "#pkg/apimachinery/index.ts";

type Raw = Record<string, unknown>;

export interface FoundPath {
  /** As errors write it: `spec.labels[app]`. */
  readonly path: string;
  readonly schema: Raw;
}

/** A path that leads nowhere; the message says why. */
export class FieldPathError extends Error {}

/** Names, quoted names, and what is between them. */
const TOKEN = /'(?:[^'\\]|\\.)*'|[.[\]]|[^.[\]]+/g;

/**
 * Follows `.spec.labels['app']` through a schema: properties and entries of maps, not elements of lists.
 * @param brackets whether names may be quoted in brackets
 * @throws FieldPathError
 */
export function findFieldPath(text: string, root: Raw, brackets: boolean): FoundPath {
  const tokens = text.match(TOKEN) ?? [];
  let at = 0;
  const take = (): string => {
    const token = tokens[at++];
    if (token === undefined) throw new FieldPathError("unexpected end of JSON path");
    return token;
  };
  let found: FoundPath = { path: "", schema: root };
  while (at < tokens.length) {
    const opening = take();
    if (opening === ".") found = step(found, take());
    else if (opening === "[") {
      if (!brackets) throw new FieldPathError("array notation is not allowed");
      const quoted = take();
      if (!/^'.*'$/s.test(quoted)) throw new FieldPathError(`expected single quoted string but got ${quoted}`);
      found = step(found, quoted.slice(1, -1).replaceAll(/\\(.)/g, "$1"));
      const closing = take();
      if (closing !== "]") throw new FieldPathError(`expected ] but got ${closing}`);
    } else throw new FieldPathError(`expected [ or . but got: ${opening}`);
  }
  return found;
}

function step({ path, schema }: FoundPath, name: string): FoundPath {
  const { properties, additionalProperties } = schema;
  const member = isRecord(properties)
    ? Object.hasOwn(properties, name)
      ? properties[name]
      : undefined
    : additionalProperties;
  if (!isRecord(member)) throw new FieldPathError("does not refer to a valid field");
  if (!isRecord(properties)) return { path: `${path}[${name}]`, schema: member };
  return { path: path === "" ? name : `${path}.${name}`, schema: member };
}
