/**
 * Requests that somebody else answers: kubelets (log, exec, attach, portforward, nodes/proxy), pods and services (proxy).
 * We authenticate, authorize and admit; then the connection is passed on, upgrades included.
 */
import type { ConnectHandler } from "../../registry/dispatch.ts";
import { type KubeletClientOptions, kubeletHandlers } from "./kubelet.ts";
import { proxyHandlers } from "./services.ts";

/** All handlers by "group/plural/subresource". */
export function connectProxies(options: KubeletClientOptions): Map<string, ConnectHandler> {
  return new Map([...kubeletHandlers(options), ...proxyHandlers(options)]);
}

export type { BackendTls } from "./backend.ts";
export type { KubeletClientOptions } from "./kubelet.ts";
