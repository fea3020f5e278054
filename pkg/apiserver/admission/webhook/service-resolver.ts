import type { Service } from "#pkg/api/types/core-v1.ts";
import type { EndpointSlice } from "#pkg/api/types/discovery-v1.ts";
import type { Random } from "#pkg/util/index.ts";
import type { ObjectSource } from "../../source/index.ts";
import type { ServiceAddress, ServiceResolver } from "./client.ts";

/**
 * Finds ready endpoints of a Service directly, so that the API server needs no service proxy on its own machine; it
 * does need a route to the pod network. ExternalName services resolve to their name.
 */
export class EndpointResolver implements ServiceResolver {
  readonly #services: ObjectSource<Service>;
  readonly #slices: ObjectSource<EndpointSlice>;
  readonly #random: Random;
  /** "namespace/service" → its slices by name. */
  readonly #byService = new Map<string, Map<string, EndpointSlice>>();

  constructor(services: ObjectSource<Service>, slices: ObjectSource<EndpointSlice>, random: Random) {
    this.#services = services;
    this.#slices = slices;
    this.#random = random;
    this.#slices.onChange(({ type, object }) => {
      const service = object.metadata.labels?.["kubernetes.io/service-name"];
      if (service === undefined) return;
      const key = `${object.metadata.namespace}/${service}`;
      const known = this.#byService.get(key) ?? new Map<string, EndpointSlice>();
      if (type === "DELETED") known.delete(object.metadata.name);
      else known.set(object.metadata.name, object);
      if (known.size === 0) this.#byService.delete(key);
      else this.#byService.set(key, known);
    });
  }

  resolve(namespace: string, name: string, port: number): ServiceAddress {
    const service = this.#services.get(namespace, name);
    if (service === undefined) throw new Error(`service ${JSON.stringify(name)} not found`);
    if (service.spec?.type === "ExternalName") return { host: service.spec.externalName ?? "", port };
    const servicePort = service.spec?.ports?.find((candidate) => candidate.port === port);
    if (servicePort === undefined) throw new Error(`no service port ${port} found for service ${JSON.stringify(name)}`);
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
    if (chosen === undefined) throw new Error(`no endpoints available for service ${JSON.stringify(name)}`);
    return chosen;
  }
}
