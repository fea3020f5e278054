import type { Service } from "#pkg/api/types/core-v1.ts";
import type { Endpoint, EndpointSlice } from "#pkg/api/types/discovery-v1.ts";

const metadata = (name: string, labels?: Record<string, string>) => ({
  name,
  namespace: "default",
  uid: name,
  resourceVersion: "1",
  creationTimestamp: "2026-01-01T00:00:00Z",
  ...(labels === undefined ? {} : { labels }),
});

export function service(name: string, spec: Service["spec"], ingress: readonly string[] = []): Service {
  return {
    metadata: metadata(name),
    spec: { type: "ClusterIP", ports: [{ name: "http", protocol: "TCP", port: 80 }], ...spec },
    status: { loadBalancer: { ingress: ingress.map((ip) => ({ ip })) } },
  };
}

/** The pods of the packet lab as endpoints. */
export const ENDPOINTS = {
  podA: { addresses: ["10.244.0.2"], nodeName: "node", conditions: { ready: true } },
  podB: { addresses: ["10.244.0.3"], nodeName: "node", conditions: { ready: true } },
  remote: { addresses: ["10.244.1.2"], nodeName: "remote", conditions: { ready: true } },
} satisfies Record<string, Endpoint>;

export function slice(
  of: string,
  endpoints: Endpoint[],
  options: { port?: number; name?: string; protocol?: string; family?: "IPv4" | "IPv6" } = {},
): EndpointSlice {
  const { port = 8080, name = "http", protocol = "TCP", family = "IPv4" } = options;
  return {
    metadata: metadata(`${of}-${family.toLowerCase()}-${name}`, { "kubernetes.io/service-name": of }),
    addressType: family,
    endpoints,
    ports: [{ name, port, protocol }],
  };
}
