import { createHash } from "node:crypto";
import type { Descriptions, Dialect, Json } from "./schemas.ts";

type ValueType = "string" | "integer" | "boolean";
/** Names of parameters with the types of their values. */
export type ValueTypes = Readonly<Record<string, ValueType>>;

export const PRETTY: ValueTypes = { pretty: "string" };
export const GET: ValueTypes = { resourceVersion: "string" };
export const WRITE: ValueTypes = { dryRun: "string", fieldManager: "string", fieldValidation: "string" };
export const PATCH: ValueTypes = { ...WRITE, force: "boolean" };
export const DELETE: ValueTypes = {
  dryRun: "string",
  gracePeriodSeconds: "integer",
  ignoreStoreReadErrorWithClusterBreakingPotential: "boolean",
  orphanDependents: "boolean",
  propagationPolicy: "string",
};
/** Of lists that nobody can watch, and of deletions of what a list would show. */
export const LIST: ValueTypes = {
  continue: "string",
  fieldSelector: "string",
  labelSelector: "string",
  limit: "integer",
  resourceVersion: "string",
  resourceVersionMatch: "string",
  sendInitialEvents: "boolean",
  shardSelector: "string",
  timeoutSeconds: "integer",
};
export const WATCH: ValueTypes = { ...LIST, allowWatchBookmarks: "boolean", watch: "boolean" };

/** What subresources take whose requests are of a kind of options. */
export const OPTIONS: Readonly<Record<string, ValueTypes>> = {
  NodeProxyOptions: { path: "string" },
  PodAttachOptions: { container: "string", stderr: "boolean", stdin: "boolean", stdout: "boolean", tty: "boolean" },
  PodExecOptions: {
    command: "string",
    container: "string",
    stderr: "boolean",
    stdin: "boolean",
    stdout: "boolean",
    tty: "boolean",
  },
  PodLogOptions: {
    container: "string",
    follow: "boolean",
    insecureSkipTLSVerifyBackend: "boolean",
    limitBytes: "integer",
    previous: "boolean",
    sinceSeconds: "integer",
    stream: "string",
    tailLines: "integer",
    timestamps: "boolean",
  },
  PodPortForwardOptions: { ports: "integer" },
  PodProxyOptions: { path: "string" },
  ServiceProxyOptions: { path: "string" },
};

/** Makes the parameters of one dialect. */
export class Parameters {
  readonly #dialect: Dialect;
  readonly #texts: Descriptions["texts"];

  constructor(dialect: Dialect, { texts }: Descriptions) {
    this.#dialect = dialect;
    this.#texts = texts;
  }
  /** Of a query; `options` names the kind that has them, where not every operation may. */
  query(types: ValueTypes, options = "parameters"): Json[] {
    return Object.entries(types).map(([name, type]) => this.#make("query", name, type, this.#texts[options]?.[name]));
  }
  /** A part of the path. */
  path(name: string, about: string): Json {
    return this.#make("path", name, "string", about);
  }
  #make(place: "path" | "query", name: string, type: ValueType, about: string | undefined): Json {
    const required = place === "path" ? { required: true } : {};
    const shape = this.#dialect === "v2" ? { type, uniqueItems: true } : { schema: { type, uniqueItems: true } };
    return { ...(about === undefined ? {} : { description: about }), in: place, name, ...required, ...shape };
  }
}

const keyOf = (parameter: Json): string => `${String(parameter["name"])} ${String(parameter["in"])}`;

/** In the order of their names. */
export function sorted(parameters: readonly Json[]): Json[] {
  const keyed = parameters.map((parameter) => [keyOf(parameter), parameter] as const);
  return keyed.sort(([a], [b]) => (a < b ? -1 : 1)).map(([, parameter]) => parameter);
}

/** A path's operations, by method, with what all of them take said once. */
export function pathItem(operations: Readonly<Record<string, Json>>): Json {
  const methods = Object.values(operations);
  const counts = new Map<string, number>();
  const listOf = ({ parameters = [] }: Json): Json[] => parameters as Json[];
  for (const each of methods.flatMap(listOf)) counts.set(keyOf(each), (counts.get(keyOf(each)) ?? 0) + 1);
  const shared = (each: Json): boolean => each["in"] !== "body" && counts.get(keyOf(each)) === methods.length;
  const item: Json = {};
  for (const [method, operation] of Object.entries(operations)) {
    const own = sorted(listOf(operation).filter((each) => !shared(each)));
    const { parameters: _all, ...rest } = operation;
    item[method] = { ...rest, ...(own.length === 0 ? {} : { parameters: own }) };
  }
  const common = methods.length === 0 ? [] : sorted(listOf(methods[0]!).filter(shared));
  return common.length === 0 ? item : { ...item, parameters: common };
}

/** Clients before 1.28 look for these in the operations themselves. */
const INLINE = new Set(["name", "dryRun", "fieldValidation"]);
const GENERIC_BODY = "#/definitions/io.k8s.apimachinery";

function isShareable({ in: place, name, schema }: Json): boolean {
  if (place === "body") return String((schema as Json | undefined)?.["$ref"]).startsWith(GENERIC_BODY);
  return !INLINE.has(String(name));
}

/**
 * Paths of a version 2 document with references in the place of parameters that many of them have, and what these refer
 * to. Names say what they stand for, so that documents of several servers can be joined.
 */
export function shareParameters(paths: Json): { readonly paths: Json; readonly parameters: Json } {
  const parameters: Json = {};
  const share = (each: Json): Json => {
    if (!isShareable(each)) return each;
    const text = JSON.stringify(each);
    const name = `${String(each["name"])}-${createHash("sha256").update(text).digest("base64url").slice(0, 8)}`;
    parameters[name] = each;
    return { $ref: `#/parameters/${name}` };
  };
  const inside = (object: Json): Json => {
    const own = object["parameters"] as Json[] | undefined;
    return own === undefined ? object : { ...object, parameters: own.map(share) };
  };
  const shared: Json = {};
  for (const [path, item] of Object.entries(paths)) {
    const methods = Object.entries(item as Json).map(([key, value]) => [
      key,
      key === "parameters" ? value : inside(value as Json),
    ]);
    shared[path] = inside(Object.fromEntries(methods) as Json);
  }
  return { paths: shared, parameters };
}
