import { isIPv6 } from "node:net";

/** A network as numbers: `bits` is 32 or 128. */
export interface Cidr {
  readonly base: bigint;
  readonly prefix: number;
  readonly bits: 32 | 128;
}

/** @throws Error for text that is no network in CIDR notation. */
export function parseCidr(text: string): Cidr {
  const match = /^([0-9a-fA-F:.]+)\/([0-9]{1,3})$/.exec(text);
  if (match === null) throw new Error(`invalid CIDR address: ${text}`);
  const bits = isIPv6(match[1]!) ? 128 : 32;
  const prefix = Number(match[2]);
  if (prefix > bits) throw new Error(`invalid CIDR address: ${text}`);
  const host = BigInt(bits - prefix);
  return { base: (parseIp(match[1]!) >> host) << host, prefix, bits };
}

/** The address as a number. Throws on what is no address, leading zeros included. */
export function parseIp(text: string): bigint {
  if (!isIPv6(text)) {
    const parts = text.split(".");
    if (parts.length !== 4 || parts.some((part) => !/^(0|[1-9][0-9]{0,2})$/.test(part) || Number(part) > 255))
      throw new Error(`invalid IP address: ${text}`);
    return parts.reduce((sum, part) => (sum << 8n) | BigInt(part), 0n);
  }
  const embedded = /^(.*:)((?:[0-9]+\.){3}[0-9]+)$/.exec(text);
  if (embedded !== null) {
    const low = parseIp(embedded[2]!);
    return parseIp(`${embedded[1]}${(low >> 16n).toString(16)}:${(low & 0xffffn).toString(16)}`);
  }
  const [head = "", tail] = text.split("::");
  const words = (part: string) => (part === "" ? [] : part.split(":"));
  const left = words(head);
  const right = tail === undefined ? [] : words(tail);
  const all = [...left, ...Array.from({ length: 8 - left.length - right.length }, () => "0"), ...right];
  return all.reduce((sum, word) => (sum << 16n) | BigInt(`0x${word}`), 0n);
}

/** The range as "address/prefix". */
export function formatCidr({ base, prefix, bits }: Cidr): string {
  return `${formatIp(base, bits)}/${prefix}`;
}

/** RFC 5952 for IPv6: lower case, the longest run of zero words shortened. */
export function formatIp(ip: bigint, bits: 32 | 128): string {
  if (bits === 32) return [24n, 16n, 8n, 0n].map((shift) => String((ip >> shift) & 0xffn)).join(".");
  const words = Array.from({ length: 8 }, (_, i) => ((ip >> BigInt(16 * (7 - i))) & 0xffffn).toString(16));
  let best = { start: -1, length: 1 };
  for (let start = 0; start < 8; start++) {
    let length = 0;
    while (start + length < 8 && words[start + length] === "0") length++;
    if (length > best.length) best = { start, length };
  }
  if (best.start < 0) return words.join(":");
  return `${words.slice(0, best.start).join(":")}::${words.slice(best.start + best.length).join(":")}`;
}

/** Have the ranges an address in common? Those of different families never. */
export function overlaps(a: Cidr, b: Cidr): boolean {
  if (a.bits !== b.bits) return false;
  const host = BigInt(a.bits - Math.min(a.prefix, b.prefix));
  return a.base >> host === b.base >> host;
}
