/**
 * Which function serves an authorized request for a resource: by verb and subresource, as the kind's declaration
 * allows.
 */
import { badRequest, notFound, pathNotFound } from "#pkg/apimachinery/index.ts";
import type { SubresourceDefinition } from "#pkg/api/index.ts";
import { methodNotAllowed, verbNotSupported } from "../http/status.ts";
import type { ReviewHandler } from "../review.ts";
import type { Call } from "./call.ts";
import { createObject } from "./create.ts";
import { deleteCollection, deleteObject } from "./delete.ts";
import { getObject } from "./get.ts";
import { listObjects } from "./list.ts";
import { patchObject, patchThrough } from "./patch.ts";
import { serveReview } from "./review.ts";
import { serveScale } from "./scale.ts";
import { updateObject, updateThrough, type WriteView } from "./update.ts";
import { watchObjects } from "./watch.ts";

/** Serves a connect subresource (pods/exec, services/proxy…) or one with an answer of its own (pods/binding). */
export type ConnectHandler = (call: Call) => Promise<void>;

export interface Handlers {
  /** By "group/plural" and "group/plural/subresource". */
  readonly reviews: ReadonlyMap<string, ReviewHandler>;
  /** By "group/plural/subresource", or "group/plural" for resources that are not stored. */
  readonly connect: ReadonlyMap<string, ConnectHandler>;
}

/** Verbs that the collection does not have. */
const NAMED_VERBS: ReadonlySet<string> = new Set(["update", "patch"]);

/** Runs one request that has been authorized. Throws, or rejects with, a StatusError. */
export function dispatch(call: Call, handlers: Handlers): Promise<void> {
  const { target, installed } = call;
  const { definition } = installed;
  if (definition.custom) assertServedCustom(call);
  if (definition.namespaced && target.namespace === "") {
    // Across namespaces there are lists, where there are lists, and nothing else.
    if (target.name !== "" || !(definition.verbs as readonly string[]).includes("list")) throw pathNotFound();
    if (target.verb !== "list" && target.verb !== "watch") throw methodNotAllowed();
  }
  if (!definition.namespaced && target.namespace !== "" && definition.plural !== "namespaces") throw pathNotFound();
  if (definition.deprecationWarning !== undefined) call.warnings.push(definition.deprecationWarning);
  if (target.subresource !== "") {
    return dispatchSubresource(call, handlers);
  }
  if (!(definition.verbs as readonly string[]).includes(target.verb)) throw methodNotAllowed();
  if (call.request.method === "HEAD" || (target.name === "" && NAMED_VERBS.has(target.verb))) throw methodNotAllowed();
  const key = `${definition.group}/${definition.plural}`;
  if (installed.cache === undefined) {
    const handler = handlers.connect.get(key);
    const review = handlers.reviews.get(key);
    if (handler !== undefined) return handler(call);
    if (review !== undefined) return serveReview(call, definition, review);
    throw pathNotFound();
  }
  return serveVerb(call);
}

/** Custom resources have a handler of their own upstream, which refuses in other words than the router of built-in kinds. */
function assertServedCustom({ target, installed }: Call): void {
  const { namespaced } = installed.definition;
  if (namespaced && target.namespace === "" && target.verb !== "list" && target.verb !== "watch") throw pathNotFound();
  if (target.subresource === "") {
    if (target.name === "" && NAMED_VERBS.has(target.verb)) throw badRequest("name must be provided");
    return;
  }
  const subresource = installed.subresource(target.subresource);
  if (subresource === undefined) throw notFound(installed.subject, target.name);
  if (!(subresource.verbs as readonly string[]).includes(target.verb))
    throw verbNotSupported(installed.subject, target.verb);
}

function serveVerb(call: Call): Promise<void> {
  switch (call.target.verb) {
    case "get":
      return getObject(call);
    case "list":
      return listObjects(call);
    case "watch":
      return watchObjects(call);
    case "create":
      // POST names no object.
      if (call.target.name !== "") throw methodNotAllowed();
      return createObject(call);
    case "update":
      return updateObject(call);
    case "patch":
      return patchObject(call);
    case "delete":
      return deleteObject(call);
    case "deletecollection":
      return deleteCollection(call);
    default:
      throw methodNotAllowed();
  }
}

function dispatchSubresource(call: Call, handlers: Handlers): Promise<void> {
  const { target, installed } = call;
  const { definition } = installed;
  const subresource = installed.subresource(target.subresource);
  if (subresource === undefined) throw pathNotFound();
  const { implementation } = subresource;
  const key = `${definition.group}/${definition.plural}/${subresource.name}`;
  const handler = handlers.connect.get(key);
  if (handler !== undefined) {
    if (!allows(subresource, call)) throw methodNotAllowed();
    return handler(call);
  }
  if (!(subresource.verbs as readonly string[]).includes(target.verb)) throw methodNotAllowed();
  const review = handlers.reviews.get(key);
  if (review !== undefined) return serveReview(call, subresourceKind(call, subresource), review);
  switch (implementation.type) {
    case "scale":
      return serveScale(call, implementation);
    case "status":
      return serveView(call, { subresource: "status", type: "status", strategy: implementation.strategy ?? {} });
    case "update":
      return serveView(call, { subresource: subresource.name, type: "update", strategy: implementation.strategy });
    case "connect":
      throw notFound(installed.subject, `${target.name}/${subresource.name}`);
  }
}

function subresourceKind(call: Call, { kind, group, version }: SubresourceDefinition) {
  const { definition } = call.installed;
  return { group: group ?? definition.group, version: version ?? definition.version, kind };
}

/** Proxies answer to every method under the verbs discovery shows for them. */
function allows(subresource: SubresourceDefinition, call: Call): boolean {
  return (subresource.verbs as readonly string[]).includes(call.target.verb) || call.request.method === "OPTIONS";
}

function serveView(call: Call, view: WriteView): Promise<void> {
  switch (call.target.verb) {
    case "get":
      return getObject(call);
    case "update":
      return updateThrough(call, view);
    case "patch":
      return patchThrough(call, view);
    default:
      throw methodNotAllowed();
  }
}
