import { isIP } from "node:net";
import type { Pod, Service } from "#pkg/api/types/core-v1.ts";
import type { EndpointSlice } from "#pkg/api/types/discovery-v1.ts";
import { badRequest, notFound, serviceUnavailable, type StatusError } from "#pkg/apimachinery/index.ts";
import type { Call } from "../../registry/call.ts";
import type { ConnectHandler } from "../../registry/dispatch.ts";
import { authority, type Backend, type BackendTls } from "./backend.ts";
import { forward } from "./forward.ts";
import { admitConnect, kubeletOf, type KubeletClientOptions } from "./kubelet.ts";
import { linksThrough } from "./links.ts";

/** "https:name:port" → its parts; every part but the name may be absent (upstream's SplitSchemeNamePort). */
function splitProxyName(text: string): { scheme: string; name: string; port: string } | undefined {
  const parts = text.split(":");
  if (parts.length > 3 || text === "") return undefined;
  const [scheme, name, port] =
    parts.length === 1
      ? ["", parts[0]!, ""]
      : parts.length === 2
        ? ["", parts[0]!, parts[1]!]
        : (parts as [string, string, string]);
  if (name === "" || !["", "http", "https"].includes(scheme)) return undefined;
  return { scheme, name, port };
}

/** Backends of the cluster have certificates of their own making, so they are not verified (as upstream). */
const tlsOf = (scheme: string): BackendTls | undefined => (scheme === "https" ? {} : undefined);

function podPort(pod: Pod, port: string): number {
  if (port === "") {
    for (const container of pod.spec.containers) {
      const first = container.ports?.[0]?.containerPort;
      if (first !== undefined) return first;
    }
    return 0;
  }
  for (const container of pod.spec.containers) {
    const named = container.ports?.find(({ name }) => name === port)?.containerPort;
    if (named !== undefined) return named;
  }
  return Number(port);
}

/** Addresses that mean the API server's own machine or its link are never proxied to: they would lead past its firewall. */
function isProxyable(ip: string): boolean {
  if (isIP(ip) === 4) return !/^(0\.|127\.|169\.254\.|22[4-9]\.|23\d\.|255\.)/.test(ip);
  return isIP(ip) === 6 && !/^(::1?$|fe[89ab]|ff)/i.test(ip);
}

async function podBackend(
  call: Call,
  { scheme, name, port }: { scheme: string; name: string; port: string },
): Promise<Omit<Backend, "path">> {
  const entry = await call.services.registry.cache("", "pods").get(call.target.namespace, name);
  if (entry === undefined) throw notFound({ group: "", resource: "pods" }, name);
  const pod = entry.object as unknown as Pod;
  const host = pod.status?.podIPs?.[0]?.ip ?? pod.status?.podIP;
  if (host === undefined || !isProxyable(host)) throw badRequest("address not allowed");
  const number = podPort(pod, port);
  return { host, tls: tlsOf(scheme), port: number > 0 ? number : scheme === "https" ? 443 : 80 };
}

async function serviceBackend(
  call: Call,
  { scheme, name, port }: { scheme: string; name: string; port: string },
): Promise<Omit<Backend, "path">> {
  const { namespace } = call.target;
  const { registry, random } = call.services;
  const entry = await registry.cache("", "services").get(namespace, name);
  if (entry === undefined) throw notFound({ group: "", resource: "services" }, name);
  const service = entry.object as unknown as Service;
  const ports = service.spec.ports ?? [];
  const wanted =
    port === ""
      ? ports.length === 1
        ? ports[0]
        : ports.find((candidate) => (candidate.name ?? "") === "")
      : ports.find((candidate) => candidate.name === port || String(candidate.port) === port);
  if (wanted === undefined && /^\d+$/.test(port))
    throw serviceUnavailable(`no service port ${Number(port)} found for service ${JSON.stringify(name)}`);
  // A name that no port has is not told apart from one without endpoints.
  if (wanted === undefined) throw noEndpoints(name, port);
  const slices = await registry.cache("discovery.k8s.io", "endpointslices").list({ namespace, consistency: "any" });
  const found: Array<{ host: string; port: number }> = [];
  for (const { object } of slices.entries) {
    const slice = object as unknown as EndpointSlice;
    if (slice.metadata.labels?.["kubernetes.io/service-name"] !== name || slice.addressType === "FQDN") continue;
    const target = slice.ports?.find((candidate) => (candidate.name ?? "") === (wanted.name ?? ""));
    if (target?.port === undefined) continue;
    for (const { addresses, conditions } of slice.endpoints ?? []) {
      if (conditions?.ready !== false && addresses[0] !== undefined && isProxyable(addresses[0]))
        found.push({ host: addresses[0], port: target.port });
    }
  }
  const chosen = found[random.int(found.length)];
  if (chosen === undefined) throw noEndpoints(name, port);
  return { ...chosen, tls: tlsOf(scheme) };
}

function noEndpoints(name: string, port: string): StatusError {
  const id = port === "" ? name : `${name}:${port}`;
  return serviceUnavailable(`no endpoints available for service ${JSON.stringify(id)}`);
}

async function nodeBackend(
  call: Call,
  { name, port }: { scheme: string; name: string; port: string },
  options: KubeletClientOptions,
): Promise<Omit<Backend, "path">> {
  const kubelet = await kubeletOf(call, name);
  if (port === "" || Number(port) === kubelet.port) return { ...kubelet, tls: options.tls };
  return { host: kubelet.host, port: Number(port), tls: undefined };
}

type Locate = (call: Call, name: { scheme: string; name: string; port: string }) => Promise<Omit<Backend, "path">>;

function serveProxy(kind: string, locate: Locate): ConnectHandler {
  return async (call) => {
    const { request, target } = call;
    const name = splitProxyName(target.name);
    if (name === undefined)
      throw badRequest(`invalid ${call.installed.definition.singular} request ${JSON.stringify(target.name)}`);
    await admitConnect(call, kind, { path: target.tail });
    const at = request.url.indexOf("?");
    const path = at < 0 ? request.url : request.url.slice(0, at);
    if (target.tail === "" && (request.method === "GET" || request.method === "HEAD")) {
      // Relative links of the page would otherwise lead out of the proxied tree.
      const query = target.rawQuery === "" ? "" : `?${target.rawQuery}`;
      call.response.send(301, { location: `${path}/${query}` }, Buffer.alloc(0));
      return;
    }
    const tail = target.tail === "" ? "/" : target.tail;
    const backend: Backend = {
      ...(await locate(call, name)),
      path: `${tail}${target.rawQuery === "" ? "" : `?${target.rawQuery}`}`,
    };
    const prefix = target.tail === "" ? path : path.slice(0, path.length - target.tail.length);
    const hosts = [authority(backend), request.headers["host"] ?? ""];
    await forward(call, backend, { links: linksThrough(prefix, hosts), forwardedUri: `${prefix}${tail}` });
  };
}

/** pods/proxy, services/proxy and nodes/proxy: any method, any path, WebSockets included. */
export function proxyHandlers(options: KubeletClientOptions): Map<string, ConnectHandler> {
  return new Map<string, ConnectHandler>([
    ["/pods/proxy", serveProxy("PodProxyOptions", podBackend)],
    ["/services/proxy", serveProxy("ServiceProxyOptions", serviceBackend)],
    ["/nodes/proxy", serveProxy("NodeProxyOptions", (call, name) => nodeBackend(call, name, options))],
  ]);
}
