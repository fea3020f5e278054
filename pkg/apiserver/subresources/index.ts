/** What the API does beside reading and writing objects: binding pods, evicting them, the status of components. `proxy/` has what leads to kubelets, pods and services. */
import type { ConnectHandler } from "../registry/dispatch.ts";
import { serveBinding } from "./binding.ts";
import { type ComponentProbe, serveComponentStatuses } from "./component-status.ts";
import { serveEviction } from "./eviction.ts";

/** Handlers of the subresources that are more than a view on their object, by "group/plural/subresource". */
export function subresourceHandlers(probes: ReadonlyMap<string, ComponentProbe>): Map<string, ConnectHandler> {
  return new Map<string, ConnectHandler>([
    ["/componentstatuses", serveComponentStatuses(probes)],
    ["/pods/binding", serveBinding],
    ["/bindings", serveBinding],
    ["/pods/eviction", serveEviction],
  ]);
}
