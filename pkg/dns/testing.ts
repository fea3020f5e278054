import type { Service } from "#pkg/api/types/core-v1.ts";
import type { EndpointSlice } from "#pkg/api/types/discovery-v1.ts";

const metadata = (name: string, labels?: Record<string, string>) => ({
  name,
  namespace: "default",
  uid: name,
  resourceVersion: "1",
  creationTimestamp: "2026-01-01T00:00:00Z",
  ...(labels === undefined ? {} : { labels }),
});

/** A service of the namespace "default", for tests. */
export const service = (name: string, spec: Service["spec"]): Service => ({ metadata: metadata(name), spec });

/** An IPv4 slice of a service with the port "http", for tests. */
export const slice = (of: string, endpoints: EndpointSlice["endpoints"]): EndpointSlice => ({
  metadata: metadata(`${of}-x`, { "kubernetes.io/service-name": of }),
  addressType: "IPv4",
  endpoints,
  ports: [{ name: "http", port: 8080, protocol: "TCP" }],
});
