import { canonicalQuantity, QuantityError } from "#pkg/apimachinery/index.ts";

/**
 * What autoscaling/v1 keeps in annotations: metrics, their status and conditions as JSON of that version's types, which no
 * schema describes, and the behavior as JSON of a type whose fields have upper-case names. All of it is read as leniently
 * as Go reads JSON: names in any case, unknown fields left out, null for nothing.
 */
type Shape =
  | "string"
  | "int"
  | "quantity"
  | { readonly mapOf: Shape }
  | { readonly listOf: Shape }
  | { readonly fields: Readonly<Record<string, Shape>> };

class ShapeError extends Error {}

const MAX_INT32 = 2 ** 31 - 1;

function readScalar(shape: "string" | "int" | "quantity", value: unknown): unknown {
  if (shape === "string" && typeof value === "string") return value;
  if (shape === "int" && Number.isInteger(value) && Math.abs(value as number) <= MAX_INT32) return value;
  if (shape === "quantity" && (typeof value === "string" || typeof value === "number")) return canonicalQuantity(value);
  throw new ShapeError(`not a ${shape}`);
}

function read(shape: Shape, value: unknown): unknown {
  if (value === null) return undefined;
  if (typeof shape === "string") return readScalar(shape, value);
  if ("listOf" in shape) {
    if (!Array.isArray(value)) throw new ShapeError("not a list");
    const { listOf } = shape;
    return value.map((item) => read(listOf, item) ?? (typeof listOf === "string" ? "" : {}));
  }
  if (typeof value !== "object" || Array.isArray(value)) throw new ShapeError("not an object");
  const entries = Object.entries(value as object);
  if ("mapOf" in shape) return Object.fromEntries(entries.map(([key, item]) => [key, read(shape.mapOf, item) ?? ""]));
  const names = new Map(Object.keys(shape.fields).map((name) => [name.toLowerCase(), name]));
  const object: Record<string, unknown> = {};
  for (const [key, item] of entries) {
    const name = names.get(key.toLowerCase());
    if (name === undefined) continue;
    const field = read(shape.fields[name]!, item);
    if (field !== undefined) object[name] = field;
  }
  return object;
}

/** What an annotation holds, or undefined where it is the client's and holds something else. */
function parse(shape: Shape, text: string | undefined): unknown {
  if (text === undefined) return undefined;
  try {
    return read(shape, JSON.parse(text));
  } catch (error) {
    if (error instanceof SyntaxError || error instanceof ShapeError || error instanceof QuantityError) return undefined;
    throw error;
  }
}

/** A field of v1, where v2 keeps it, and whether v1 has it always (a quantity that is not there is 0). */
type Move = readonly [from: string, to: string, shape: Shape, always?: true];
type Source = Record<string, unknown>;

const reference: Shape = { fields: { kind: "string", name: "string", apiVersion: "string" } };
const requirement: Shape = { fields: { key: "string", operator: "string", values: { listOf: "string" } } };
const selector: Shape = { fields: { matchLabels: { mapOf: "string" }, matchExpressions: { listOf: requirement } } };
const container: Move = ["container", "container", "string", true];
const name: Move = ["name", "name", "string", true];
const metricName: Move = ["metricName", "metric.name", "string", true];

const resourceSource: readonly Move[] = [
  name,
  ["targetAverageUtilization", "target.averageUtilization", "int"],
  ["targetAverageValue", "target.averageValue", "quantity"],
];
const resourceStatus: readonly Move[] = [
  name,
  ["currentAverageUtilization", "current.averageUtilization", "int"],
  ["currentAverageValue", "current.averageValue", "quantity", true],
];
const SOURCES: Readonly<Record<string, readonly Move[]>> = {
  object: [
    ["target", "describedObject", reference, true],
    metricName,
    ["targetValue", "target.value", "quantity", true],
    ["selector", "metric.selector", selector],
    ["averageValue", "target.averageValue", "quantity"],
  ],
  pods: [
    metricName,
    ["targetAverageValue", "target.averageValue", "quantity", true],
    ["selector", "metric.selector", selector],
  ],
  resource: resourceSource,
  containerResource: [...resourceSource, container],
  external: [
    metricName,
    ["metricSelector", "metric.selector", selector],
    ["targetValue", "target.value", "quantity"],
    ["targetAverageValue", "target.averageValue", "quantity"],
  ],
};
const STATUSES: typeof SOURCES = {
  object: [
    ["target", "describedObject", reference, true],
    metricName,
    ["currentValue", "current.value", "quantity", true],
    ["selector", "metric.selector", selector],
    ["averageValue", "current.averageValue", "quantity"],
  ],
  pods: [
    metricName,
    ["currentAverageValue", "current.averageValue", "quantity", true],
    ["selector", "metric.selector", selector],
  ],
  resource: resourceStatus,
  containerResource: [...resourceStatus, container],
  external: [
    metricName,
    ["metricSelector", "metric.selector", selector],
    ["currentValue", "current.value", "quantity", true],
    ["currentAverageValue", "current.averageValue", "quantity"],
  ],
};

const nothing = (shape: Shape): unknown => (shape === "quantity" ? "0" : typeof shape === "string" ? "" : {});

function get(object: Source, path: string): unknown {
  return path.split(".").reduce<unknown>((at, key) => (at as Source | undefined)?.[key], object);
}

function set(object: Source, path: string, value: unknown): void {
  const keys = path.split(".");
  const last = keys.pop()!;
  let at = object;
  for (const key of keys) at = (at[key] ??= {}) as Source;
  at[last] = value;
}

/** The type of a target, which v1 leaves to what is set. */
function targetType(kind: string, target: Source): string {
  if (kind === "object") return target["averageValue"] === undefined ? "Value" : "AverageValue";
  if (target["averageUtilization"] !== undefined) return "Utilization";
  return target["value"] === undefined ? "AverageValue" : "Value";
}

function sourceFromV1(kind: string, moves: readonly Move[], from: Source): Source {
  const to: Source = {};
  for (const [key, path, shape, always] of moves) {
    const value = from[key] ?? (always === true ? nothing(shape) : undefined);
    if (value !== undefined) set(to, path, value);
  }
  if (moves !== SOURCES[kind]) return to;
  const target = (to["target"] ??= {}) as Source;
  // v1 has a value beside every average: the one that stands for nothing would be refused in v2.
  if (kind === "object" && target["averageValue"] !== undefined && target["value"] === "0") delete target["value"];
  target["type"] = targetType(kind, target);
  return to;
}

function sourceToV1(moves: readonly Move[], from: Source): Source {
  const to: Source = {};
  for (const [key, path, shape, always] of moves) {
    const value = get(from, path) ?? (always === true ? nothing(shape) : undefined);
    if (value !== undefined) to[key] = value;
  }
  return to;
}

const shapeOf = (kinds: typeof SOURCES): Shape => ({
  listOf: {
    fields: {
      type: "string",
      ...Object.fromEntries(
        Object.entries(kinds).map(([kind, moves]) => [
          kind,
          { fields: Object.fromEntries(moves.map(([key, , shape]) => [key, shape])) },
        ]),
      ),
    },
  },
});
const METRICS = shapeOf(SOURCES);
const METRIC_STATUSES = shapeOf(STATUSES);

const eachSource = (
  kinds: typeof SOURCES,
  item: Source,
  convert: (kind: string, moves: readonly Move[]) => Source,
) => ({
  type: item["type"] ?? "",
  ...Object.fromEntries(
    Object.entries(kinds).flatMap(([kind, moves]) => (item[kind] === undefined ? [] : [[kind, convert(kind, moves)]])),
  ),
});

function listFromV1<T>(kinds: typeof SOURCES, shape: Shape, text: string | undefined): T[] | undefined {
  const items = parse(shape, text) as Source[] | undefined;
  return items?.map(
    (item) => eachSource(kinds, item, (kind, moves) => sourceFromV1(kind, moves, item[kind] as Source)) as T,
  );
}

const listToV1 = (kinds: typeof SOURCES, items: readonly object[]): string =>
  JSON.stringify(
    (items as Source[]).map((item) =>
      eachSource(kinds, item, (kind, moves) => sourceToV1(moves, item[kind] as Source)),
    ),
  );

export const metricsFromV1 = <T>(text: string | undefined) => listFromV1<T>(SOURCES, METRICS, text);
export const metricsToV1 = (metrics: readonly object[]) => listToV1(SOURCES, metrics);
export const metricStatusesFromV1 = <T>(text: string | undefined) => listFromV1<T>(STATUSES, METRIC_STATUSES, text);
export const metricStatusesToV1 = (statuses: readonly object[]) => listToV1(STATUSES, statuses);

const CONDITIONS: Shape = {
  listOf: {
    fields: { type: "string", status: "string", lastTransitionTime: "string", reason: "string", message: "string" },
  },
};
export const conditionsFromV1 = <T>(text: string | undefined) => parse(CONDITIONS, text) as T[] | undefined;
export const conditionsToV1 = (conditions: readonly object[]): string =>
  JSON.stringify(
    (conditions as Source[]).map(({ type, status, lastTransitionTime = null, ...rest }) => ({
      type,
      status,
      lastTransitionTime,
      ...rest,
    })),
  );

const POLICY: Shape = { fields: { type: "string", value: "int", periodSeconds: "int" } };
const RULES: Shape = {
  fields: {
    stabilizationWindowSeconds: "int",
    selectPolicy: "string",
    policies: { listOf: POLICY },
    tolerance: "quantity",
  },
};
const BEHAVIOR: Shape = { fields: { scaleUp: RULES, scaleDown: RULES } };

/** The same with every name in upper case, and null for each field that is not there. */
function upperCase(shape: Shape, value: unknown): unknown {
  if (value === undefined) return null;
  if (typeof shape === "string" || "mapOf" in shape) return value;
  if ("listOf" in shape) return (value as unknown[]).map((item) => upperCase(shape.listOf, item));
  return Object.fromEntries(
    Object.entries(shape.fields).map(([key, field]) => [
      key[0]!.toUpperCase() + key.slice(1),
      upperCase(field, (value as Source)[key]),
    ]),
  );
}

export function behaviorFromV1<T extends object>(text: string | undefined): T | undefined {
  const behavior = parse(BEHAVIOR, text) as T | undefined;
  return behavior === undefined || Object.keys(behavior).length === 0 ? undefined : behavior;
}
export const behaviorToV1 = (behavior: object): string => JSON.stringify(upperCase(BEHAVIOR, behavior));
