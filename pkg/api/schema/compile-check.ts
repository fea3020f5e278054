import { jsonKind, parseQuantity } from "#pkg/apimachinery/index.ts";
import type { FieldSchema } from "#pkg/apimachinery/index.ts";
import { errorMessage } from "#pkg/util/index.ts";
import { isTime, whyNoTime } from "./times.ts";
import { embeddedStructsOf, goTypeOf, namedTypeOf } from "./go-types.ts";

/** Progress of one check. Closures are shared between requests, so all that varies lives here. */
export interface CheckState {
  /** Field names and indices down to the value being looked at. */
  readonly path: (string | number)[];
  /** Where in the path there are keys of maps; Go's messages leave them out. */
  readonly mapKeys: number[];
  /** Structs that stand in the path in Go alone, by the position of the field that comes from them. */
  readonly embedded: Map<number, string>;
  readonly unknown: string[];
  readonly errors: string[];
  /** What a type says that decodes itself ends the decoding, and counts before what was found until then. */
  ended: boolean;
  /** Go name of the innermost struct, for messages. */
  struct: string;
}
export type Checker = (value: unknown, state: CheckState) => void;

/** Errors and unknown fields kept per object: a hostile body must not make the answer larger than itself. */
const MAX_FINDINGS = 128;

function pathText(path: readonly (string | number)[]): string {
  let text = "";
  for (const part of path) {
    if (typeof part === "number") text += `[${part}]`;
    else text += text === "" ? part : `.${part}`;
  }
  return text;
}

function report(state: CheckState, message: string): void {
  if (!state.ended && state.errors.length < MAX_FINDINGS) state.errors.push(message);
}

function reportEnd(state: CheckState, message: string): void {
  if (state.ended) return;
  state.errors.unshift(message);
  state.ended = true;
}

function mismatch(state: CheckState, found: string, goType: string, tell = report): void {
  // Go leaves array indices and the keys of maps out of the field path.
  const isField = (part: string | number, at: number) => typeof part === "string" && !state.mapKeys.includes(at);
  const named = state.path.map((part, at) => (state.embedded.has(at) ? `${state.embedded.get(at)}.${part}` : part));
  const field = named.filter(isField).join(".");
  const where = field === "" ? "value" : `struct field ${state.struct}.${field}`;
  tell(state, `json: cannot unmarshal ${found} into Go ${where} of type ${goType}`);
}

/** Memo: a checker depends on its schema alone. */
const checkers = new WeakMap<FieldSchema, Checker>();

/** A checker for `schema`; recursive schemas share theirs. */
export function compileChecker(schema: FieldSchema): Checker {
  const known = checkers.get(schema);
  if (known !== undefined) return known;
  let compiled: Checker | undefined;
  // Members are compiled on first use: definitions may contain themselves.
  const checker: Checker = (value, state) => (compiled ??= build(schema))(value, state);
  checkers.set(schema, checker);
  return checker;
}

function build(schema: FieldSchema, goType = goTypeOf(schema)): Checker {
  switch (schema.type) {
    case "object":
      return objectChecker(schema, goType);
    case "array":
      return arrayChecker(schema, goType);
    case "map":
      return mapChecker(schema, goType);
    case "any":
      return () => undefined;
    default:
      return scalarChecker(schema, goType);
  }
}

function objectChecker(schema: FieldSchema, goType: string): Checker {
  const struct = goType.slice(goType.lastIndexOf(".") + 1);
  const members = new Map<string, Checker>();
  for (const [name, member] of schema.properties ?? []) {
    const named = namedTypeOf(struct, name);
    members.set(name, named === undefined ? compileChecker(member) : build(member, named));
  }
  const embedded = embeddedStructsOf(schema.definition);
  const open = schema.preserveUnknownFields === true || (schema.properties === undefined && schema.items === undefined);
  const additional = schema.items === undefined ? undefined : compileChecker(schema.items);
  return (value, state) => {
    if (value === null || value === undefined) return;
    if (typeof value !== "object" || Array.isArray(value)) {
      mismatch(state, jsonKind(value), goType);
      return;
    }
    const outer = state.struct;
    state.struct = struct;
    const { path } = state;
    const object = value as Record<string, unknown>;
    for (const name in object) {
      const member = members.get(name) ?? additional;
      if (member === undefined) {
        if (open || object[name] === undefined) continue;
        path.push(name);
        if (state.unknown.length < MAX_FINDINGS) state.unknown.push(pathText(path));
        path.pop();
        continue;
      }
      const within = embedded.get(name);
      if (within !== undefined) state.embedded.set(path.length, within);
      path.push(name);
      member(object[name], state);
      path.pop();
      if (within !== undefined) state.embedded.delete(path.length);
    }
    state.struct = outer;
  };
}

function arrayChecker(schema: FieldSchema, goType: string): Checker {
  const items: FieldSchema = schema.items ?? { type: "any" };
  const element = items.type === "string" ? build(items, goType.replace("[]", "")) : compileChecker(items);
  return (value, state) => {
    if (value === null || value === undefined) return;
    if (!Array.isArray(value)) {
      mismatch(state, jsonKind(value), goType);
      return;
    }
    const { path } = state;
    for (let i = 0; i < value.length; i++) {
      path.push(i);
      element(value[i], state);
      path.pop();
    }
  };
}

function mapChecker(schema: FieldSchema, goType: string): Checker {
  const element = compileChecker(schema.items ?? { type: "any" });
  return (value, state) => {
    if (value === null || value === undefined) return;
    if (typeof value !== "object" || Array.isArray(value)) {
      mismatch(state, jsonKind(value), goType);
      return;
    }
    const { path, mapKeys } = state;
    const object = value as Record<string, unknown>;
    mapKeys.push(path.length);
    for (const key in object) {
      path.push(key);
      element(object[key], state);
      path.pop();
    }
    mapKeys.pop();
  };
}

const LIMITS: Readonly<Record<string, number>> = { int32: 2 ** 31, int64: 2 ** 63 };

function scalarChecker(schema: FieldSchema, goType: string): Checker {
  const expect =
    (type: string): Checker =>
    (value, state) => {
      if (typeof value !== type && value !== null && value !== undefined) mismatch(state, jsonKind(value), goType);
    };
  const number = expect("number");
  switch (schema.type) {
    case "string":
      return expect("string");
    case "boolean":
      return expect("boolean");
    case "number":
      return (value, state) => {
        if (typeof value !== "bigint") number(value, state);
      };
    case "integer":
      return integerChecker(goType, LIMITS[schema.format ?? "int64"] ?? LIMITS["int64"]!);
    case "int-or-string":
      return (value, state) => {
        if (value === null || value === undefined || typeof value === "string") return;
        if (typeof value === "bigint") mismatch(state, `number ${value}`, "int32", reportEnd);
        else if (typeof value !== "number") mismatch(state, jsonKind(value), "int32", reportEnd);
        else if (!Number.isInteger(value) || value < -(2 ** 31) || value >= 2 ** 31)
          mismatch(state, `number ${value}`, "int32", reportEnd);
      };
    case "quantity":
      return quantityChecker;
    case "bytes":
      return bytesChecker;
    default:
      return timeChecker(
        schema.type === "micro-time" ? "2006-01-02T15:04:05.000000Z07:00" : "2006-01-02T15:04:05Z07:00",
      );
  }
}

function integerChecker(goType: string, limit: number): Checker {
  return (value, state) => {
    if (value === null || value === undefined) return;
    if (typeof value === "bigint") {
      if (value >= BigInt(limit) || value < -BigInt(limit)) mismatch(state, `number ${value}`, goType);
    } else if (typeof value !== "number") mismatch(state, jsonKind(value), goType);
    else if (!Number.isInteger(value) || value >= limit || value < -limit) mismatch(state, `number ${value}`, goType);
  };
}

const quantityChecker: Checker = (value, state) => {
  if (value === null || value === undefined) return;
  if (typeof value === "bigint") return;
  if (typeof value !== "string" && typeof value !== "number") {
    reportEnd(state, "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'");
    return;
  }
  try {
    parseQuantity(value);
  } catch (error) {
    reportEnd(state, errorMessage(error));
  }
};

const bytesChecker: Checker = (value, state) => {
  if (value === null || value === undefined) return;
  if (typeof value !== "string") {
    mismatch(state, jsonKind(value), "[]uint8");
    return;
  }
  const text = value.replaceAll(/[\r\n]/g, "");
  const bad = /[^A-Za-z0-9+/=]/.exec(text)?.index ?? (/^[^=]*={0,2}$/.test(text) ? -1 : text.indexOf("="));
  if (bad >= 0 || text.length % 4 !== 0) {
    report(state, `illegal base64 data at input byte ${bad >= 0 ? bad : text.length - (text.length % 4)}`);
  }
};

function timeChecker(layout: string): Checker {
  return (value, state) => {
    if (value === null || value === undefined) return;
    if (typeof value !== "string") {
      mismatch(state, jsonKind(value), "string", reportEnd);
      return;
    }
    if (isTime(value)) return;
    reportEnd(state, `parsing time ${JSON.stringify(value)}${whyNoTime(value, layout)}`);
  };
}
