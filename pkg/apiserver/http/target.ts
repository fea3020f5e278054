import { badRequest } from "#pkg/apimachinery/index.ts";

/** What a request's path and method say, by the rules every authorizer and admission plugin knows (RequestInfo). */
export interface RequestTarget {
  /** Decoded path without query, e.g. `/api/v1/namespaces/default/pods/web/log`. */
  readonly path: string;
  readonly query: URLSearchParams;
  /** Query as sent, without the question mark; proxies pass it on untouched. */
  readonly rawQuery: string;
  readonly resourceRequest: boolean;
  /** Verb of RBAC for resource requests, the lower-case method otherwise. */
  readonly verb: string;
  readonly group: string;
  readonly version: string;
  readonly namespace: string;
  readonly resource: string;
  readonly subresource: string;
  readonly name: string;
  /** Undecoded path behind the subresource, with its leading slash, or "". */
  readonly tail: string;
}

const NO_QUERY = Object.freeze(new URLSearchParams());
const NAMESPACE_SUBRESOURCES = new Set(["status", "finalize"]);
const METHOD_VERBS: ReadonlyMap<string, string> = new Map([
  ["POST", "create"],
  ["GET", "get"],
  ["HEAD", "get"],
  ["PUT", "update"],
  ["PATCH", "patch"],
  ["DELETE", "delete"],
]);

/**
 * Reads a request target. Refuses what could make two readers of the same path disagree: dot segments, empty segments,
 * encoded slashes, NUL. Behind a subresource (proxies) the path is the backend's business and stays as sent.
 * @throws StatusError 400
 */
export function parseTarget(method: string, url: string): RequestTarget {
  const mark = url.indexOf("?");
  const rawPath = mark < 0 ? url : url.slice(0, mark);
  const rawQuery = mark < 0 ? "" : url.slice(mark + 1);
  const query = rawQuery === "" ? NO_QUERY : new URLSearchParams(rawQuery);
  if (!rawPath.startsWith("/")) throw badRequest("the request target must be an absolute path");
  const parts = rawPath.split("/");
  parts.shift();
  const resource = resourceParts(parts);
  if (resource === undefined) return nonResource(method, parts, query, rawQuery);

  const head = decodeSegments(parts.slice(0, resource.end), false);
  const tail = parts.length > resource.end ? `/${parts.slice(resource.end).join("/")}` : "";
  if (tail !== "" && !resource.hasTail) throw badRequest("the request path is malformed");
  const at = (index: number | undefined): string => (index === undefined ? "" : (head[index] ?? ""));
  const name = at(resource.name);
  return {
    path: `/${head.join("/")}${tail}`,
    query,
    rawQuery,
    resourceRequest: true,
    verb: verbOf(method, name, query, resource.watch),
    group: at(resource.group),
    version: at(resource.version),
    namespace: at(resource.namespace),
    resource: at(resource.resource),
    subresource: at(resource.subresource),
    name,
    tail,
  };
}

function verbOf(method: string, name: string, query: URLSearchParams, watch: boolean): string {
  const verb = METHOD_VERBS.get(method) ?? method.toLowerCase();
  if (watch) return "watch";
  if (name !== "") return verb;
  if (verb === "get") return isTrue(query.get("watch")) ? "watch" : "list";
  return verb === "delete" ? "deletecollection" : verb;
}

/** Booleans of query parameters as Go's conversion reads them: present and neither "0" nor "false", in any case (Python's "False"). */
export function isTrue(value: string | null | undefined): boolean {
  return value !== null && value !== undefined && value !== "0" && value.toLowerCase() !== "false";
}

interface ResourceParts {
  readonly group: number | undefined;
  readonly version: number;
  readonly namespace: number | undefined;
  readonly resource: number;
  readonly name: number | undefined;
  readonly subresource: number | undefined;
  /** Parts that belong to us; what follows is the tail. */
  readonly end: number;
  readonly hasTail: boolean;
  readonly watch: boolean;
}

/** Positions of the meaningful parts, or undefined for a path that names no resource. */
function resourceParts(parts: readonly string[]): ResourceParts | undefined {
  const core = parts[0] === "api";
  if (!core && parts[0] !== "apis") return undefined;
  const version = core ? 1 : 2;
  let first = version + 1;
  if (parts.length <= first || parts[first] === "") return undefined;
  const watch = parts[first] === "watch" && parts.length > first + 1;
  if (watch) first++;
  let namespace: number | undefined;
  let resource = first;
  if (parts[first] === "namespaces" && parts.length > first + 1 && parts[first + 1] !== "") {
    namespace = first + 1;
    const third = parts[first + 2];
    if (third !== undefined && third !== "" && !NAMESPACE_SUBRESOURCES.has(third)) resource = first + 2;
  }
  const last = parts.length - 1;
  // A trailing slash adds an empty part, which means nothing before the tail.
  const present = (index: number): number | undefined => (index < last || parts[index]! !== "" ? index : undefined);
  const name = resource + 1 <= last ? present(resource + 1) : undefined;
  const subresource = name !== undefined && resource + 2 <= last ? present(resource + 2) : undefined;
  const end = Math.min(resource + 3, subresource === undefined && parts[last] === "" ? last : parts.length);
  return {
    group: core ? undefined : 1,
    version,
    namespace,
    resource,
    name,
    subresource,
    end,
    hasTail: subresource !== undefined || end === last,
    watch,
  };
}

function nonResource(method: string, parts: string[], query: URLSearchParams, rawQuery: string): RequestTarget {
  const decoded = decodeSegments(parts, true);
  return {
    path: `/${decoded.join("/")}`,
    query,
    rawQuery,
    resourceRequest: false,
    verb: method.toLowerCase(),
    group: "",
    version: "",
    namespace: "",
    resource: "",
    subresource: "",
    name: "",
    tail: "",
  };
}

function decodeSegments(parts: readonly string[], allowTrailingSlash: boolean): string[] {
  const last = parts.length - 1;
  return parts.map((part, index) => {
    if (part === "") {
      if (index === last && (allowTrailingSlash || index === 0)) return part;
      throw badRequest("the request path has an empty segment");
    }
    let segment = part;
    if (part.includes("%")) {
      try {
        segment = decodeURIComponent(part);
      } catch (cause) {
        throw Object.assign(badRequest(`the request path has an invalid escape: "${part}"`), { cause });
      }
    }
    if (segment === "." || segment === ".." || segment.includes("/") || segment.includes("\0")) {
      throw badRequest("the request path has a segment that is not allowed");
    }
    return segment;
  });
}
