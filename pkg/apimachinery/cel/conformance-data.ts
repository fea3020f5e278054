/** Reads the tests of the CEL specification (npm @bufbuild/cel-spec) into the engine's own terms; for the test beside this file. */
import { tests } from "@bufbuild/cel-spec/testdata/conformance.js";
import { parseDuration, parseTimestamp } from "./time.ts";
import { type CelType, DYN, listOf, mapOf, optionalOf, parseType } from "./types.ts";
import { ArrayList, EntryMap, keyText, TypeValue, Uint, type Value } from "./values.ts";

interface RawValue {
  readonly [kind: string]: unknown;
}
export interface SpecTest {
  readonly suite: string;
  readonly name: string;
  readonly expr: string;
  readonly container: string;
  readonly disableCheck: boolean;
  readonly checkOnly: boolean;
  readonly variables: Readonly<Record<string, CelType>>;
  readonly bindings: Readonly<Record<string, Value>>;
  /** undefined: an error is expected. */
  readonly expected: Value | undefined;
  /** Uses messages or enums of protobuf, which no API object has. */
  readonly needsProtobuf: boolean;
}
interface RawTest {
  readonly name?: string;
  readonly expr: string;
  readonly container?: string;
  readonly disableCheck?: boolean;
  readonly checkOnly?: boolean;
  readonly typeEnv?: readonly { name: string; ident?: { type: RawValue } }[];
  readonly bindings?: Readonly<Record<string, { value?: RawValue }>>;
  readonly value?: RawValue;
  readonly typedResult?: { readonly result?: RawValue };
  readonly evalError?: unknown;
}
interface RawSuite {
  readonly name: string;
  readonly suites?: readonly RawSuite[];
  readonly tests?: readonly { readonly original: RawTest }[];
}

const PROTOBUF =
  /TestAllTypes|TestRequired|google\.protobuf|GlobalEnum|NestedEnum|proto[23]\b|proto\.(?:has|get)Ext|NullValue|\b(?:\w*Value|Any|Struct|Duration|Timestamp)\s*\{/;

/** @throws Error for values that only protobuf has. */
function readValue(raw: RawValue): Value {
  const [kind, value] = Object.entries(raw)[0] ?? ["nullValue", null];
  switch (kind) {
    case "int64Value":
      return BigInt(value as string);
    case "uint64Value":
      return new Uint(BigInt(value as string));
    case "doubleValue":
      return Number(value === "Infinity" || value === "-Infinity" || value === "NaN" ? value : (value as number));
    case "stringValue":
    case "boolValue":
      return value as string | boolean;
    case "bytesValue":
      return Uint8Array.from(Buffer.from(value as string, "base64"));
    case "nullValue":
      return null;
    case "typeValue":
      return new TypeValue(value as string);
    case "listValue":
      return new ArrayList(((value as { values?: RawValue[] }).values ?? []).map(readValue));
    case "mapValue": {
      const entries = (value as { entries?: { key: RawValue; value: RawValue }[] }).entries ?? [];
      return new EntryMap(
        new Map(
          entries.map((entry): [string, [Value, Value]] => {
            const key = readValue(entry.key);
            return [keyText(key)!, [key, readValue(entry.value)]];
          }),
        ),
      );
    }
    case "objectValue": {
      const message = value as { "@type": string; value: string };
      if (message["@type"].endsWith("google.protobuf.Timestamp")) return parseTimestamp(message.value);
      if (message["@type"].endsWith("google.protobuf.Duration")) return parseDuration(message.value);
      throw new Error(`message ${message["@type"]}`);
    }
    default:
      throw new Error(`value of kind ${kind}`);
  }
}

const PRIMITIVES: Readonly<Record<string, string>> = {
  BOOL: "bool",
  INT64: "int",
  UINT64: "uint",
  DOUBLE: "double",
  STRING: "string",
  BYTES: "bytes",
};
function readType(raw: RawValue): CelType {
  const [kind, value] = Object.entries(raw)[0] ?? ["dyn", {}];
  switch (kind) {
    case "primitive":
      return parseType(PRIMITIVES[value as string]!);
    case "wellKnown":
      return value === "TIMESTAMP" ? parseType("timestamp") : value === "DURATION" ? parseType("duration") : DYN;
    case "listType":
      return listOf(readType((value as { elemType?: RawValue }).elemType ?? { dyn: {} }));
    case "mapType": {
      const map = value as { keyType?: RawValue; valueType?: RawValue };
      return mapOf(readType(map.keyType ?? { dyn: {} }), readType(map.valueType ?? { dyn: {} }));
    }
    case "abstractType": {
      const { name, parameterTypes = [] } = value as { name: string; parameterTypes?: RawValue[] };
      return name === "optional_type" ? optionalOf(readType(parameterTypes[0] ?? { dyn: {} })) : parseType(name);
    }
    case "messageType":
      if (value === "google.protobuf.Duration") return parseType("duration");
      if (value === "google.protobuf.Timestamp") return parseType("timestamp");
      throw new Error(`message ${String(value)}`);
    case "dyn":
    case "null":
      return parseType(kind);
    default:
      throw new Error(`type of kind ${kind}`);
  }
}

function read(suite: string, raw: RawTest): SpecTest {
  const common = {
    suite,
    name: raw.name ?? raw.expr,
    expr: raw.expr,
    container: raw.container ?? "",
    disableCheck: raw.disableCheck === true,
    checkOnly: raw.checkOnly === true,
  };
  // Timestamps and durations are the engine's own; a container alone makes no difference.
  const uses = JSON.stringify([raw.expr, raw.typeEnv ?? []]).replaceAll(
    /google\.protobuf\.(?:Timestamp|Duration)\b(?!\s*\{)/g,
    "",
  );
  const needsProtobuf = PROTOBUF.test(uses);
  const nothing = { variables: {}, bindings: {}, expected: undefined };
  if (needsProtobuf) return { ...common, ...nothing, needsProtobuf };
  try {
    const bindings = Object.entries(raw.bindings ?? {}).map(
      ([name, { value }]) => [name, readValue(value ?? {})] as const,
    );
    const declared = (raw.typeEnv ?? []).filter(({ ident }) => ident !== undefined);
    const variables = [
      ...bindings.map(([name]) => [name, DYN] as const),
      ...declared.map(({ name, ident }) => [name, readType(ident!.type)] as const),
    ];
    const result =
      raw.evalError !== undefined ? undefined : (raw.value ?? raw.typedResult?.result ?? { boolValue: true });
    return {
      ...common,
      variables: Object.fromEntries(variables),
      bindings: Object.fromEntries(bindings),
      expected: result === undefined ? undefined : readValue(result),
      needsProtobuf,
    };
  } catch (error) {
    if (error instanceof Error) return { ...common, ...nothing, needsProtobuf: true };
    throw error;
  }
}

/** All tests, in the order of the specification. */
export function specTests(): SpecTest[] {
  const found: SpecTest[] = [];
  const visit = (suite: RawSuite, path: string): void => {
    for (const { original } of suite.tests ?? []) found.push(read(path, original));
    for (const child of suite.suites ?? []) visit(child, path === "" ? child.name : `${path}/${child.name}`);
  };
  visit(tests as unknown as RawSuite, "");
  return found;
}
