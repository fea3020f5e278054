/** The records of the cluster's domain, kept in step with Services and EndpointSlices. */
import { isIP } from "node:net";
import type { Service } from "#pkg/api/types/core-v1.ts";
import type { EndpointSlice } from "#pkg/api/types/discovery-v1.ts";
import {
  type Answer,
  type Member,
  canonicalAddress,
  clusterIPs,
  dashed,
  isHeadless,
  matchesPort,
  members,
  reverseAddress,
} from "./records.ts";

/** Version of the DNS specification that the zone follows. */
const SPECIFICATION = "1.1.0";
const TTL_SECONDS = 5;
const SERVICE_NAME_LABEL = "kubernetes.io/service-name";

/** What the cluster's zone says to a question. */
export type Lookup =
  /** In our zone. No answers with `exists`: the name is there, but not with this type (NODATA). */
  | {
      readonly kind: "authoritative";
      readonly answers: readonly Answer[];
      readonly exists: boolean;
      readonly additionals?: readonly Answer[];
    }
  /** A CNAME out of the zone, to be followed by asking elsewhere. */
  | { readonly kind: "alias"; readonly answer: Answer; readonly target: string }
  /** Not ours. */
  | { readonly kind: "foreign" };

const NXDOMAIN: Lookup = { kind: "authoritative", answers: [], exists: false };
const NODATA: Lookup = { kind: "authoritative", answers: [], exists: true };

/**
 * The cluster's zone, answered from Services and EndpointSlices (Kubernetes DNS specification 1.1.0). Names are looked
 * up, not generated: a change costs nothing until somebody asks.
 */
export class ClusterZone {
  readonly domain: string;
  readonly #services = new Map<string, Service>();
  readonly #slices = new Map<string, Map<string, EndpointSlice>>();
  readonly #namespaces = new Map<string, number>();
  /** Cluster IP → service key. */
  readonly #byClusterIP = new Map<string, string>();
  /** Endpoint address → service keys. */
  readonly #byEndpoint = new Map<string, Set<string>>();

  constructor(domain: string) {
    this.domain = domain.toLowerCase().replace(/\.$/, "");
  }

  setService(service: Service): void {
    const key = `${service.metadata.namespace}/${service.metadata.name}`;
    this.deleteService(service);
    this.#services.set(key, service);
    const namespace = service.metadata.namespace ?? "";
    this.#namespaces.set(namespace, (this.#namespaces.get(namespace) ?? 0) + 1);
    for (const ip of clusterIPs(service)) this.#byClusterIP.set(canonicalAddress(ip), key);
  }

  deleteService({ metadata }: Pick<Service, "metadata">): void {
    const key = `${metadata.namespace}/${metadata.name}`;
    const old = this.#services.get(key);
    if (old === undefined) return;
    this.#services.delete(key);
    const namespace = metadata.namespace ?? "";
    const left = (this.#namespaces.get(namespace) ?? 1) - 1;
    if (left === 0) this.#namespaces.delete(namespace);
    else this.#namespaces.set(namespace, left);
    for (const ip of clusterIPs(old)) {
      if (this.#byClusterIP.get(canonicalAddress(ip)) === key) this.#byClusterIP.delete(canonicalAddress(ip));
    }
  }

  setSlice(slice: EndpointSlice): void {
    const key = this.#serviceKey(slice);
    if (key === undefined) return;
    const slices = this.#slices.get(key) ?? new Map<string, EndpointSlice>();
    this.#slices.set(key, slices);
    this.#forgetAddresses(key, slices.get(slice.metadata.name));
    slices.set(slice.metadata.name, slice);
    for (const address of addressesOf(slice)) {
      this.#byEndpoint.set(address, (this.#byEndpoint.get(address) ?? new Set()).add(key));
    }
  }

  deleteSlice(slice: EndpointSlice): void {
    const key = this.#serviceKey(slice);
    const slices = key === undefined ? undefined : this.#slices.get(key);
    if (key === undefined || slices === undefined) return;
    this.#forgetAddresses(key, slices.get(slice.metadata.name));
    slices.delete(slice.metadata.name);
    if (slices.size === 0) this.#slices.delete(key);
  }

  #serviceKey(slice: EndpointSlice): string | undefined {
    const name = slice.metadata.labels?.[SERVICE_NAME_LABEL];
    return name === undefined || name === "" ? undefined : `${slice.metadata.namespace}/${name}`;
  }

  #forgetAddresses(key: string, slice: EndpointSlice | undefined): void {
    for (const address of slice === undefined ? [] : addressesOf(slice)) {
      const keys = this.#byEndpoint.get(address);
      keys?.delete(key);
      if (keys?.size === 0) this.#byEndpoint.delete(address);
    }
  }

  #members(service: Service): Member[] {
    return members(service, this.#slices.get(`${service.metadata.namespace}/${service.metadata.name}`)?.values() ?? []);
  }

  /** Looks one question up; `name` may come in any case. */
  lookup(name: string, type: string): Lookup {
    const asked = name.toLowerCase().replace(/\.$/, "");
    if (asked.endsWith(".arpa")) return this.#reverse(name, asked, type);
    if (asked !== this.domain && !asked.endsWith(`.${this.domain}`)) return { kind: "foreign" };
    const labels = asked === this.domain ? [] : asked.slice(0, -this.domain.length - 1).split(".");
    const kind = labels.at(-1);
    if (kind === undefined) return NODATA;
    if (kind === "svc") return this.#service(name, type, labels.slice(0, -1));
    if (kind === "pod") return this.#pod(name, type, labels.slice(0, -1));
    if (kind === "dns-version" && labels.length === 1) {
      return type === "TXT" ? authoritative([{ type: "TXT", name, ttl: TTL_SECONDS, data: SPECIFICATION }]) : NODATA;
    }
    return NXDOMAIN;
  }

  #service(name: string, type: string, labels: readonly string[]): Lookup {
    const namespace = labels.at(-1);
    if (namespace === undefined) return NODATA;
    if (labels.length === 1) return this.#namespaces.has(namespace) ? NODATA : NXDOMAIN;
    const service = this.#services.get(`${namespace}/${labels.at(-2)}`);
    if (service === undefined) return NXDOMAIN;
    const rest = labels.slice(0, -2);
    if (service.spec.type === "ExternalName") return rest.length === 0 ? this.#external(name, service) : NXDOMAIN;
    if (rest.length === 0) {
      const addresses = isHeadless(service)
        ? this.#members(service).map(({ address }) => address)
        : clusterIPs(service);
      if (isHeadless(service) && addresses.length === 0) return NXDOMAIN;
      if (type === "SRV") return this.#srv(name, service, undefined, undefined);
      return this.#addresses(name, type, addresses);
    }
    if (rest.length === 1) {
      if (!isHeadless(service)) return NXDOMAIN;
      const member = this.#members(service).filter(({ label }) => label.toLowerCase() === rest[0]);
      return member.length === 0
        ? NXDOMAIN
        : this.#addresses(
            name,
            type,
            member.map(({ address }) => address),
          );
    }
    if (rest.length !== 2) return NXDOMAIN;
    const found = this.#srv(name, service, rest[0]!, rest[1]!);
    return type === "SRV" || found.kind !== "authoritative" || !found.exists ? found : NODATA;
  }

  #external(name: string, service: Service): Lookup {
    const target = (service.spec.externalName ?? "").replace(/\.$/, "");
    if (target === "") return NXDOMAIN;
    return { kind: "alias", target, answer: { type: "CNAME", name, ttl: TTL_SECONDS, data: target } };
  }

  #addresses(name: string, type: string, addresses: readonly string[]): Lookup {
    const family = type === "A" ? 4 : type === "AAAA" ? 6 : 0;
    const matching = addresses.filter((address) => isIP(address) === family);
    if (family === 0 || matching.length === 0) return NODATA;
    return authoritative(matching.map((data) => ({ type: family === 4 ? "A" : "AAAA", name, ttl: TTL_SECONDS, data })));
  }

  #srv(name: string, service: Service, port: string | undefined, protocol: string | undefined): Lookup {
    const base = `${service.metadata.name}.${service.metadata.namespace}.svc.${this.domain}`;
    const wanted = (candidate: { name?: string; protocol?: string }) =>
      port === undefined || protocol === undefined
        ? candidate.name !== undefined && candidate.name !== ""
        : matchesPort(candidate, port, protocol);
    const targets = isHeadless(service)
      ? this.#members(service).flatMap((member) =>
          member.ports.filter(wanted).map((entry) => ({
            port: entry.port ?? 0,
            target: `${member.label}.${base}`,
            addresses: [member.address],
          })),
        )
      : (service.spec.ports ?? [])
          .filter(wanted)
          .map((entry) => ({ port: entry.port, target: base, addresses: clusterIPs(service) }));
    if (targets.length === 0) return NXDOMAIN;
    const weight = Math.max(1, Math.floor(100 / targets.length));
    const additionals = new Map<string, Answer>();
    for (const { target, addresses } of targets) {
      for (const address of addresses) {
        additionals.set(`${target} ${address}`, {
          type: isIP(address) === 4 ? "A" : "AAAA",
          name: target,
          ttl: TTL_SECONDS,
          data: address,
        });
      }
    }
    const answers = targets.map(({ port: number, target }): Answer => ({
      type: "SRV",
      name,
      ttl: TTL_SECONDS,
      data: { priority: 0, weight, port: number, target },
    }));
    return { kind: "authoritative", answers, exists: true, additionals: [...additionals.values()] };
  }

  /** a-b-c-d.namespace.pod: the address is in the name (the specification's insecure form, as CoreDNS ships it). */
  #pod(name: string, type: string, labels: readonly string[]): Lookup {
    const [label, namespace] = labels;
    if (label === undefined || labels.length > 2) return labels.length === 0 ? NODATA : NXDOMAIN;
    if (namespace === undefined) return this.#namespaces.has(label) ? NODATA : NXDOMAIN;
    const v4 = label.replaceAll("-", ".");
    if (isIP(v4) === 4) return this.#addresses(name, type, [v4]);
    const v6 = label.replaceAll("-", ":");
    return isIP(v6) === 6 ? this.#addresses(name, type, [v6]) : NXDOMAIN;
  }

  #reverse(name: string, asked: string, type: string): Lookup {
    const address = reverseAddress(asked);
    if (address === undefined) return { kind: "foreign" };
    const names = this.#namesOf(address);
    if (names.length === 0) return { kind: "foreign" };
    if (type !== "PTR") return NODATA;
    return authoritative(names.map((data) => ({ type: "PTR", name, ttl: TTL_SECONDS, data })));
  }

  #namesOf(address: string): string[] {
    const key = this.#byClusterIP.get(address);
    const suffix = `svc.${this.domain}`;
    if (key !== undefined) {
      const [namespace, service] = key.split("/");
      return [`${service}.${namespace}.${suffix}`];
    }
    const names: string[] = [];
    for (const candidate of this.#byEndpoint.get(address) ?? []) {
      const service = this.#services.get(candidate);
      if (service === undefined || !isHeadless(service)) continue;
      const member = this.#members(service).find((entry) => canonicalAddress(entry.address) === address);
      if (member !== undefined)
        names.push(`${member.label}.${service.metadata.name}.${service.metadata.namespace}.${suffix}`);
    }
    // A hostname says more than an address with dashes.
    return names.sort((a, b) => Number(a.startsWith(dashed(address))) - Number(b.startsWith(dashed(address))));
  }
}

function authoritative(answers: readonly Answer[]): Lookup {
  return { kind: "authoritative", answers, exists: true };
}

function addressesOf(slice: EndpointSlice): string[] {
  if (slice.addressType === "FQDN") return [];
  return (slice.endpoints ?? []).flatMap(({ addresses }) => addresses.slice(0, 1).map(canonicalAddress));
}
