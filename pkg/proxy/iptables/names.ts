import { createHash } from "node:crypto";
import type { ProxyEndpoint, ServicePort } from "../model/types.ts";

const ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

function base32(bytes: Uint8Array, length: number): string {
  let text = "";
  let bits = 0;
  let value = 0;
  for (const byte of bytes) {
    value = (value << 8) | byte;
    bits += 8;
    while (bits >= 5 && text.length < length) {
      bits -= 5;
      text += ALPHABET[(value >>> bits) & 31];
    }
    value &= 0xff;
    if (text.length === length) break;
  }
  return text;
}

/** First 16 characters of base32(sha256(text)): short enough for a chain name of 28 characters. */
const hash = (text: string): string => base32(createHash("sha256").update(text).digest(), 16);

export interface ChainNames {
  /** Cluster-wide load balancing. */
  readonly service: string;
  /** Load balancing among the endpoints of this node. */
  readonly local: string;
  /** Traffic from outside. */
  readonly external: string;
  /** Source range checks of load balancers. */
  readonly firewall: string;
}

export function chainNames(port: ServicePort): ChainNames {
  const suffix = hash(port.id + port.protocol.toLowerCase());
  return {
    service: `KUBE-SVC-${suffix}`,
    local: `KUBE-SVL-${suffix}`,
    external: `KUBE-EXT-${suffix}`,
    firewall: `KUBE-FW-${suffix}`,
  };
}

export function endpointChain(port: ServicePort, endpoint: ProxyEndpoint): string {
  return `KUBE-SEP-${hash(port.id + port.protocol.toLowerCase() + destination(endpoint))}`;
}

/** "10.1.2.3:80" or "[fd00::1]:80". */
export function destination({ ip, port }: Pick<ProxyEndpoint, "ip" | "port">): string {
  return ip.includes(":") ? `[${ip}]:${port}` : `${ip}:${port}`;
}
