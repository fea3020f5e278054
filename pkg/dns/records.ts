import type { Service, ServicePort } from "#pkg/api/types/core-v1.ts";
import type { Endpoint, EndpointPort, EndpointSlice } from "#pkg/api/types/discovery-v1.ts";

/** What a name resolves to; the shape dns-packet encodes. */
export type Answer =
  | {
      readonly type: "A" | "AAAA" | "CNAME" | "PTR";
      readonly name: string;
      readonly ttl: number;
      readonly data: string;
    }
  | {
      readonly type: "SRV";
      readonly name: string;
      readonly ttl: number;
      readonly data: {
        readonly priority: number;
        readonly weight: number;
        readonly port: number;
        readonly target: string;
      };
    }
  | { readonly type: "TXT"; readonly name: string; readonly ttl: number; readonly data: string };

/** One backend of a headless service. */
export interface Member {
  /** First label of its own name: its hostname, or its address with dashes. */
  readonly label: string;
  readonly address: string;
  readonly ports: readonly EndpointPort[];
}

/** "10.1.2.3" → "10-1-2-3"; "fd00::1" → "fd00--1". */
export const dashed = (address: string): string => address.replaceAll(/[.:]/g, "-");

export function isHeadless(service: Service): boolean {
  return service.spec.clusterIP === "None";
}

export function clusterIPs(service: Service): readonly string[] {
  if (isHeadless(service) || service.spec.type === "ExternalName") return [];
  const ips = service.spec.clusterIPs ?? [service.spec.clusterIP ?? ""];
  return ips.filter((ip) => ip !== "" && ip !== "None");
}

function isPublished(endpoint: Endpoint, service: Service): boolean {
  return service.spec.publishNotReadyAddresses === true || endpoint.conditions?.ready !== false;
}

/** Backends of a headless service that its name resolves to. Pure. */
export function members(service: Service, slices: Iterable<EndpointSlice>): Member[] {
  const found = new Map<string, Member>();
  for (const { endpoints, ports, addressType } of slices) {
    if (addressType === "FQDN") continue;
    for (const endpoint of endpoints ?? []) {
      const address = endpoint.addresses[0];
      if (address === undefined || !isPublished(endpoint, service)) continue;
      const label = endpoint.hostname === undefined || endpoint.hostname === "" ? dashed(address) : endpoint.hostname;
      const known = found.get(address);
      found.set(address, { label: known?.label ?? label, address, ports: [...(known?.ports ?? []), ...(ports ?? [])] });
    }
  }
  return [...found.values()];
}

/** Does `_port._proto` name this service port? Nameless ports have no SRV record. */
export function matchesPort(
  port: Pick<ServicePort, "name" | "protocol">,
  portLabel: string,
  protocolLabel: string,
): boolean {
  return (
    port.name !== undefined &&
    port.name !== "" &&
    `_${port.name}`.toLowerCase() === portLabel &&
    `_${(port.protocol ?? "TCP").toLowerCase()}` === protocolLabel
  );
}

/** "4.3.2.1.in-addr.arpa" → "1.2.3.4"; the nibble form for IPv6; undefined when malformed. */
export function reverseAddress(name: string): string | undefined {
  const v4 = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.in-addr\.arpa$/.exec(name);
  if (v4 !== null) return `${v4[4]}.${v4[3]}.${v4[2]}.${v4[1]}`;
  const v6 = /^((?:[0-9a-f]\.){32})ip6\.arpa$/.exec(name);
  if (v6 === null) return undefined;
  const nibbles = v6[1]!.split(".").slice(0, 32).reverse().join("");
  return canonicalIPv6(nibbles.match(/.{4}/g)!.join(":"));
}

/** One spelling per IPv6 address, so that it can be a map key (RFC 5952 by way of the URL parser). */
function canonicalIPv6(address: string): string {
  return new URL(`http://[${address}]`).hostname.slice(1, -1);
}

export function canonicalAddress(address: string): string {
  return address.includes(":") ? canonicalIPv6(address) : address;
}
