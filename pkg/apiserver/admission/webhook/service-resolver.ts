import type { Service } from "#pkg/api/types/core-v1.ts";
import type { EndpointSlice } from "#pkg/api/types/discovery-v1.ts";
import type { Random } from "#pkg/util/index.ts";
import type { ObjectSource } from "../../source/index.ts";
import type { ServiceAddress, ServiceResolver } from "./client.ts";

/** Why a Service cannot be reached, in the words of an APIService's condition. */
export class ServiceUnresolvedError extends Error {
  readonly reason: "ServiceNotFound" | "ServicePortError" | "EndpointsNotFound" | "MissingEndpoints";
  readonly condition: string;
  constructor(message: string, reason: ServiceUnresolvedError["reason"], condition: string) {
    super(message);
    this.reason = reason;
    this.condition = condition;
  }
}

/** Directly to an endpoint, or to the Service's own address, which needs a service proxy on this machine. */
export type ServiceRouting = "endpoints" | "cluster-ip";

/**
 * Finds ready endpoints of a Service directly, so that the API server needs no service proxy on its own machine; it
 * does need a route to the pod network. ExternalName services resolve to their name.
 */
export class EndpointResolver implements ServiceResolver {
  readonly #services: ObjectSource<Service>;
  readonly #slices: ObjectSource<EndpointSlice>;
  readonly #random: Random;
  readonly #routing: ServiceRouting;
  /** "namespace/service" → its slices by name. */
  readonly #byService = new Map<string, Map<string, EndpointSlice>>();
  readonly #listeners: ((service: string) => void)[] = [];

  constructor(
    services: ObjectSource<Service>,
    slices: ObjectSource<EndpointSlice>,
    random: Random,
    routing: ServiceRouting = "endpoints",
  ) {
    this.#routing = routing;
    this.#services = services;
    this.#slices = slices;
    this.#random = random;
    this.#services.onChange(({ object }) => this.#notify(`${object.metadata.namespace}/${object.metadata.name}`));
    this.#slices.onChange(({ type, object }) => {
      const service = object.metadata.labels?.["kubernetes.io/service-name"];
      if (service === undefined) return;
      this.#notify(`${object.metadata.namespace}/${service}`);
      const key = `${object.metadata.namespace}/${service}`;
      const known = this.#byService.get(key) ?? new Map<string, EndpointSlice>();
      if (type === "DELETED") known.delete(object.metadata.name);
      else known.set(object.metadata.name, object);
      if (known.size === 0) this.#byService.delete(key);
      else this.#byService.set(key, known);
    });
  }

  /** Tells when what a Service resolves to may have changed: "namespace/service". */
  onChange(listener: (service: string) => void): void {
    this.#listeners.push(listener);
  }
  #notify(service: string): void {
    for (const listener of this.#listeners) listener(service);
  }

  resolve(namespace: string, name: string, port: number): ServiceAddress {
    const where = `service/${name} in ${JSON.stringify(namespace)}`;
    const service = this.#services.get(namespace, name);
    if (service === undefined)
      throw new ServiceUnresolvedError(
        `service ${JSON.stringify(name)} not found`,
        "ServiceNotFound",
        `${where} is not present`,
      );
    if (service.spec?.type === "ExternalName") return { host: service.spec.externalName ?? "", port };
    const servicePort = service.spec?.ports?.find((candidate) => candidate.port === port);
    if (servicePort === undefined)
      throw new ServiceUnresolvedError(
        `no service port ${port} found for service ${JSON.stringify(name)}`,
        "ServicePortError",
        `${where} is not listening on port ${port}`,
      );
    const addresses: ServiceAddress[] = [];
    for (const slice of this.#byService.get(`${namespace}/${name}`)?.values() ?? []) {
      if (slice.addressType === "FQDN") continue;
      const target = slice.ports?.find((candidate) => (candidate.name ?? "") === (servicePort.name ?? ""))?.port;
      if (target === undefined) continue;
      for (const {
        conditions,
        addresses: [host],
      } of slice.endpoints ?? []) {
        if (conditions?.ready !== false && host !== undefined) addresses.push({ host, port: target });
      }
    }
    const chosen = addresses[this.#random.int(addresses.length)];
    const { clusterIP = "None" } = service.spec ?? {};
    if (chosen !== undefined)
      return this.#routing === "cluster-ip" && clusterIP !== "None" ? { host: clusterIP, port } : chosen;
    const message = `no endpoints available for service ${JSON.stringify(name)}`;
    if (!this.#byService.has(`${namespace}/${name}`))
      throw new ServiceUnresolvedError(message, "EndpointsNotFound", `cannot find endpointslices for ${where}`);
    throw new ServiceUnresolvedError(
      message,
      "MissingEndpoints",
      `endpointslices for ${where} have no addresses with port name ${JSON.stringify(servicePort.name ?? "")}`,
    );
  }
}
