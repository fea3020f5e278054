/**
 * What strict decoding says about unknown and repeated fields, in upstream's words and order: a typed JSON body is
 * reported on in the order of its text, a custom resource or a patch has its repetitions first, and YAML has all of its
 * repetitions in one error of go-yaml's.
 */
import { fieldsInTextOrder, isRecord } from "#pkg/apimachinery/index.ts";

/** What one document repeats, or else has wrong before anybody looks at the object. */
export interface Repetitions {
  readonly isEmpty: boolean;
  /** go-yaml's error about a document in YAML. */
  readonly yaml?: string;
  /** All errors, together with those about unknown fields. */
  among(unknown: readonly string[], custom: boolean): string[];
}

export const NO_REPETITIONS: Repetitions = {
  isEmpty: true,
  among: (unknown, custom) => (custom ? customOrder(unknown) : unknown).map(unknownField),
};

/** Of a body in JSON. */
export function repeatedInJson(bytes: Buffer, duplicates: readonly string[]): Repetitions {
  if (duplicates.length === 0) return NO_REPETITIONS;
  return {
    isEmpty: false,
    among: (unknown, custom) =>
      custom
        ? [...duplicates.map(duplicateField), ...customOrder(unknown).map(unknownField)]
        : fieldsInTextOrder(bytes.toString("utf8"), new Set(unknown)).map(wordsOf),
  };
}

/** Of a body in YAML, which upstream turns into JSON with sorted members before it looks for unknown ones. */
export function repeatedInYaml(messages: readonly string[]): Repetitions {
  const yaml = messages.length === 0 ? undefined : `yaml: unmarshal errors:\n  ${messages.join("\n  ")}`;
  return {
    isEmpty: yaml === undefined,
    ...(yaml === undefined ? {} : { yaml }),
    among: (unknown, custom) => [
      ...(yaml === undefined ? [] : [yaml]),
      ...(custom ? customOrder(unknown) : unknown.toSorted(byMembers)).map(unknownField),
    ],
  };
}

/** Of a merge patch: the unknown fields are those of what it makes of the object. */
export function repeatedInPatch(duplicates: readonly string[]): Repetitions {
  return inPatch(duplicates.map(duplicateField));
}

const OPERATION_FIELDS: ReadonlySet<string> = new Set(["op", "path", "from", "value"]);

/** Of a JSON patch, whose operations have fields of their own that can be unknown. */
export function wrongInOperations(bytes: Buffer, operations: unknown, duplicates: readonly string[]): Repetitions {
  const unknown = (Array.isArray(operations) ? operations : []).flatMap((operation: unknown, i) =>
    isRecord(operation)
      ? Object.keys(operation).flatMap((field) => (OPERATION_FIELDS.has(field) ? [] : [`[${i}].${field}`]))
      : [],
  );
  const wrong =
    unknown.length === 0
      ? duplicates.map(duplicateField)
      : fieldsInTextOrder(bytes.toString("utf8"), new Set(unknown)).map(wordsOf);
  return inPatch(wrong.map((problem) => `json patch ${problem}`));
}

function inPatch(problems: readonly string[]): Repetitions {
  return {
    isEmpty: problems.length === 0,
    among: (unknown, custom) => [
      ...problems,
      ...(custom ? customOrder(unknown) : unknown.toSorted(byMembers)).map(unknownField),
    ],
  };
}

function wordsOf({ path, repeated }: { readonly path: string; readonly repeated: boolean }): string {
  return repeated ? duplicateField(path) : unknownField(path);
}
function unknownField(path: string): string {
  return `unknown field ${JSON.stringify(path)}`;
}
function duplicateField(path: string): string {
  return `duplicate field ${JSON.stringify(path)}`;
}

/** A custom resource's metadata is looked at first, then its fields are pruned, and metadata of objects inside it last. */
function customOrder(unknown: readonly string[]): string[] {
  const inMetadata = (path: string): boolean => path.startsWith("metadata.");
  const inside = (path: string): boolean => !inMetadata(path) && path.includes(".metadata.");
  const sorted = unknown.toSorted();
  return [
    ...sorted.filter(inMetadata),
    ...sorted.filter((path) => !inMetadata(path) && !inside(path)),
    ...sorted.filter(inside),
  ];
}

/** The order in which paths come up in a document whose members are sorted. */
function byMembers(a: string, b: string): number {
  const left = a.split(/[.[\]]+/);
  const right = b.split(/[.[\]]+/);
  for (let i = 0; i < left.length && i < right.length; i++) {
    const [x, y] = [left[i]!, right[i]!];
    if (x === y) continue;
    return /^\d+$/.test(x) && /^\d+$/.test(y) ? Number(x) - Number(y) : x < y ? -1 : 1;
  }
  return left.length - right.length;
}
