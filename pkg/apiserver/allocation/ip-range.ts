import { isIP } from "node:net";

export type IpFamily = "IPv4" | "IPv6";

/** An address as a number. @throws Error for text that is no address (callers validate before) */
export function parseAddress(text: string): bigint {
  const version = isIP(text);
  if (version === 4) return text.split(".").reduce((value, part) => value * 256n + BigInt(part), 0n);
  if (version !== 6) throw new Error(`${JSON.stringify(text)} is no IP address`);
  let plain = text;
  const dotted = /(.*:)(\d+\.\d+\.\d+\.\d+)$/.exec(text);
  if (dotted !== null) {
    const value = parseAddress(dotted[2]!);
    plain = `${dotted[1]}${(value >> 16n).toString(16)}:${(value & 0xffffn).toString(16)}`;
  }
  const [head = "", tail] = plain.split("::");
  const left = head === "" ? [] : head.split(":");
  const right = tail === undefined || tail === "" ? [] : tail.split(":");
  const middle = tail === undefined ? [] : Array.from({ length: 8 - left.length - right.length }, () => "0");
  return [...left, ...middle, ...right].reduce((value, part) => (value << 16n) + BigInt(`0x${part}`), 0n);
}

/** Canonical text (RFC 5952 for IPv6). */
export function formatAddress(value: bigint, family: IpFamily): string {
  if (family === "IPv4") return [24n, 16n, 8n, 0n].map((shift) => (value >> shift) & 255n).join(".");
  const groups = Array.from({ length: 8 }, (_, i) => Number((value >> BigInt(112 - 16 * i)) & 0xffffn));
  let best = { start: -1, length: 1 };
  for (let i = 0; i < 8; i++) {
    let length = 0;
    while (i + length < 8 && groups[i + length] === 0) length++;
    if (length > best.length) best = { start: i, length };
  }
  const hex = groups.map((group) => group.toString(16));
  if (best.start < 0) return hex.join(":");
  return `${hex.slice(0, best.start).join(":")}::${hex.slice(best.start + best.length).join(":")}`;
}

export function familyOf(address: string): IpFamily {
  return isIP(address.split("/")[0]!) === 6 ? "IPv6" : "IPv4";
}

/** Addresses of a range beyond this many from its start are never handed out; no cluster needs them (upstream's limit). */
const MAX_ADDRESSES = 1n << 20n;
const MIN_STATIC = 16n;
const MAX_STATIC = 256n;
const STATIC_SHARE = 16n;

/** The addresses of a CIDR that Services may have: without the network's own and, for IPv4, the broadcast address. */
export class IpRange {
  readonly cidr: string;
  readonly family: IpFamily;
  /** First usable address. */
  readonly first: bigint;
  readonly size: bigint;

  constructor(cidr: string) {
    const [address = "", bits = ""] = cidr.split("/");
    this.cidr = cidr;
    this.family = familyOf(address);
    const width = this.family === "IPv4" ? 32n : 128n;
    const host = width - BigInt(bits);
    const base = (parseAddress(address) >> host) << host;
    const total = 1n << host;
    this.first = base + 1n;
    const usable = total - (this.family === "IPv4" ? 2n : 1n);
    this.size = usable < 0n ? 0n : usable > MAX_ADDRESSES ? MAX_ADDRESSES : usable;
  }
  contains(address: string): boolean {
    if (familyOf(address) !== this.family) return false;
    const offset = parseAddress(address) - this.first;
    return offset >= 0n && offset < this.size;
  }
  at(offset: bigint): string {
    return formatAddress(this.first + offset, this.family);
  }
  /** Offset where automatic allocation begins; below it lies the band for addresses chosen by hand (KEP-3070). */
  get staticBand(): bigint {
    if (this.size <= MIN_STATIC) return 0n;
    const share = this.size / STATIC_SHARE;
    return share < MIN_STATIC ? MIN_STATIC : share > MAX_STATIC ? MAX_STATIC : share;
  }
}

/** Offsets from a random start through the dynamic band, then the static one. */
export function* allocationOrder(size: number, staticBand: number, startAt: number): Generator<number> {
  const dynamic = size - staticBand;
  for (let i = 0; i < dynamic; i++) yield staticBand + ((startAt + i) % dynamic);
  for (let i = 0; i < staticBand; i++) yield i;
}
