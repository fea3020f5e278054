import { createHash } from "node:crypto";
import type { ProxyEndpoint, ServicePort } from "../model/types.ts";

/** nft takes identifiers up to this long; the hash keeps cut names apart. */
const MAX_NAME = 120;
const ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

function hash(text: string): string {
  const digest = createHash("sha256").update(text).digest();
  return Array.from({ length: 8 }, (_, index) => ALPHABET[digest[index]! & 31]).join("");
}

export interface PortNames {
  readonly service: string;
  readonly external: string;
  readonly local: string;
  readonly firewall: string;
}

/** Names of what one service port owns: readable, unique by their hash. */
export function portNames(port: ServicePort): PortNames {
  const [, portName = ""] = port.id.split(":");
  const readable = `${port.namespace}/${port.name}/${port.protocol.toLowerCase()}/${portName}`;
  const base = `${hash(port.id + port.protocol)}-${readable}`;
  const name = (kind: string) => `${kind}-${base}`.slice(0, MAX_NAME);
  return { service: name("service"), local: name("local"), external: name("external"), firewall: name("firewall") };
}

export function endpointNames(port: ServicePort, { ip, port: number }: ProxyEndpoint) {
  const [, portName = ""] = port.id.split(":");
  const readable = `${port.namespace}/${port.name}/${port.protocol.toLowerCase()}/${portName}`;
  const target = `__${ip.replaceAll(":", ".")}/${number}`;
  const base = `${hash(`${port.id}${port.protocol}${ip}|${number}`)}-${readable}`;
  const name = (kind: string) => `${kind}-${base}`.slice(0, MAX_NAME - target.length) + target;
  return { chain: name("endpoint"), affinity: name("affinity") };
}
