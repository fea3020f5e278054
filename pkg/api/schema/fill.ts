import { isRecord, isShared } from "#pkg/apimachinery/index.ts";
import { type FieldEntry, jsonFields } from "#pkg/apimachinery/protobuf/index.ts";
import { protobufMessageOf } from "./definitions.ts";

type Json = Record<string, unknown>;
/** Fills in members of a value, in place. */
type Fill = (value: unknown) => void;
interface Compiled {
  /** What is never missing, with what stands for nothing. */
  readonly always: readonly (readonly [name: string, zero: () => unknown])[];
  readonly nested: ReadonlyMap<string, Fill>;
}

const ZEROS: Readonly<Record<string, unknown>> = {
  string: "",
  bytes: "",
  bool: false,
  int32: 0,
  int64: 0,
  double: 0,
  "k8s.io.apimachinery.pkg.api.resource.Quantity": "0",
  "k8s.io.apimachinery.pkg.util.intstr.IntOrString": 0,
};

/** Fillers of messages by name; undefined where nothing is ever filled in. */
const fillers = new Map<string, Fill | undefined>();

/**
 * What fills in the members that the JSON of a definition's objects always has upstream: values in the types, where
 * absence and zero are the same, and lists, maps and pointers that are written as null. Idempotent.
 */
export function fillerOf(definition: string): (object: Json) => void {
  let compiled: Compiled | undefined;
  return (object) => {
    const { always, nested } = (compiled ??= compile(protobufMessageOf(definition)));
    for (const name in object) {
      const value = object[name];
      // A shared one was filled in before it was shared.
      if (!isShared(value)) nested.get(name)?.(value);
    }
    addMissing(always, object);
  };
}

function addMissing(always: Compiled["always"], object: Json): void {
  for (const [name, zero] of always) if (object[name] === undefined) object[name] = zero();
}

function compile(message: string): Compiled {
  const always: [string, () => unknown][] = [];
  const nested = new Map<string, Fill>();
  for (const field of jsonFields(message)) {
    const fill = field.isMessage ? fillOf(field.type) : undefined;
    if (fill !== undefined) nested.set(field.name, around(field, fill));
    if (field.absent !== "nothing") always.push([field.name, zeroOf(field, fill)]);
  }
  return { always, nested };
}

function fillOf(message: string): Fill | undefined {
  if (fillers.has(message)) return fillers.get(message);
  fillers.set(message, undefined); // Types that contain themselves have nothing to fill in.
  const { always, nested } = compile(message);
  if (always.length === 0 && nested.size === 0) return undefined;
  const fill: Fill = (value) => {
    if (!isRecord(value)) return;
    if (nested.size > 0) for (const name in value) nested.get(name)?.(value[name]);
    addMissing(always, value);
  };
  fillers.set(message, fill);
  return fill;
}

function around({ label }: FieldEntry, fill: Fill): Fill {
  if (label === "optional") return fill;
  if (label === "map") {
    return (value) => {
      if (isRecord(value)) for (const key in value) fill(value[key]);
    };
  }
  return (value) => {
    if (Array.isArray(value)) for (const item of value) fill(item);
  };
}

function zeroOf({ absent, type }: FieldEntry, fill: Fill | undefined): () => unknown {
  if (absent === "null") return () => null;
  const scalar = ZEROS[type];
  if (scalar !== undefined) return () => scalar;
  return () => {
    const value = {};
    fill?.(value);
    return value;
  };
}
