import type { ConnectHandler } from "../registry/dispatch.ts";
import { serveBinding } from "./binding.ts";
import { serveEviction } from "./eviction.ts";

/** Handlers of the subresources that are more than a view on their object, by "group/plural/subresource". */
export function subresourceHandlers(): Map<string, ConnectHandler> {
  return new Map<string, ConnectHandler>([
    ["/pods/binding", serveBinding],
    ["/bindings", serveBinding],
    ["/pods/eviction", serveEviction],
  ]);
}
