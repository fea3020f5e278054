import { type CostRule, reading, type Sizes } from "../costs.ts";
import { CelError } from "../errors.ts";
import { declare, type Overload } from "../functions.ts";
import { Opaque } from "../values.ts";
import { type Address, formatAddress, hasPrefix, maskAddress, parseAddress, widthOf } from "./ip-address.ts";

class Ip extends Opaque {
  readonly typeName = "net.IP";
  readonly address: Address;
  constructor(address: Address) {
    super();
    this.address = address;
  }
  equals(other: Opaque): boolean {
    return (
      other instanceof Ip && other.address.family === this.address.family && other.address.bits === this.address.bits
    );
  }
  override toString(): string {
    return formatAddress(this.address);
  }
}
class Cidr extends Opaque {
  readonly typeName = "net.CIDR";
  readonly address: Address;
  readonly prefix: number;
  constructor(address: Address, prefix: number) {
    super();
    this.address = address;
    this.prefix = prefix;
  }
  override get size(): number {
    return Math.ceil(this.prefix / 8);
  }
  equals(other: Opaque): boolean {
    return other instanceof Cidr && other.toString() === this.toString();
  }
  override toString(): string {
    return `${formatAddress(this.address)}/${this.prefix}`;
  }
}

function ip(text: string): Ip {
  const address = parseAddress(text);
  if (address === undefined)
    throw new CelError(
      `IP Address ${JSON.stringify(text)} parse error during conversion from string: ParseAddr(${JSON.stringify(text)}): unable to parse IP`,
    );
  return new Ip(address);
}
function parseCidr(text: string): Cidr | undefined {
  const match = /^([^/]+)\/(0|[1-9][0-9]{0,2})$/.exec(text);
  const address = match === null ? undefined : parseAddress(match[1]!);
  if (address === undefined || Number(match![2]) > widthOf(address)) return undefined;
  return new Cidr(address, Number(match![2]));
}
function cidr(text: string): Cidr {
  const parsed = parseCidr(text);
  if (parsed === undefined)
    throw new CelError(
      `network address parse error during conversion from string: network address parse error during conversion from string: netip.ParsePrefix(${JSON.stringify(text)}): no '/'`,
    );
  return parsed;
}

/** Is the address inside a network of its family, written as a CIDR? */
function within({ address }: Ip, ...networks: string[]): boolean {
  return networks.some((network) => {
    const { address: base, prefix } = parseCidr(network)!;
    return hasPrefix(address, base, prefix);
  });
}
const isUnspecified = (a: Ip): boolean => a.address.bits === 0n;
const isLoopback = (a: Ip): boolean => within(a, "127.0.0.0/8", "::1/128");
const isMulticast = (a: Ip): boolean => within(a, "224.0.0.0/4", "ff00::/8");
const isLinkLocalUnicast = (a: Ip): boolean => within(a, "169.254.0.0/16", "fe80::/10");
const isLinkLocalMulticast = (a: Ip): boolean => within(a, "224.0.0.0/24", "ff02::/16");
const isGlobalUnicast = (a: Ip): boolean =>
  !isUnspecified(a) && !isLoopback(a) && !isMulticast(a) && !isLinkLocalUnicast(a) && !within(a, "255.255.255.255/32");
const containsIp = (net: Cidr, { address }: Ip): boolean => hasPrefix(address, net.address, net.prefix);
const containsCidr = (net: Cidr, other: Cidr): boolean =>
  other.prefix >= net.prefix && hasPrefix(other.address, net.address, net.prefix);
const own = { traverses: [0] };
/** Masks are compared byte by byte: as many as the prefix has, or an address of either family when only that is known. */
const prefixes = (sizes: Sizes): number => reading(2 * sizes.of(0));
const parsing = (sizes: Sizes): number => reading(sizes.of(1));
const containing: CostRule = prefixes;
const masking: CostRule = (sizes) => prefixes(sizes) + reading(sizes.of(0)) + 1;

/** Kubernetes' address functions (apiserver/pkg/cel/library/ip.go, cidr.go). */
export const ipLibrary: readonly Overload[] = [
  declare("ip", "(string) -> net.IP", ip, own),
  declare("isIP", "(string) -> bool", (text: string) => parseAddress(text) !== undefined, own),
  declare(
    "ip.isCanonical",
    "(string) -> bool",
    (text: string) => ip(text).toString() === text,
    (sizes) => reading(2 * sizes.of(0)),
  ),
  declare("string", "(net.IP) -> string", String),
  declare("family", "net.IP.() -> int", (a: Ip) => BigInt(a.address.family)),
  declare("isUnspecified", "net.IP.() -> bool", isUnspecified),
  declare("isLoopback", "net.IP.() -> bool", isLoopback),
  declare("isLinkLocalMulticast", "net.IP.() -> bool", isLinkLocalMulticast),
  declare("isLinkLocalUnicast", "net.IP.() -> bool", isLinkLocalUnicast),
  declare("isGlobalUnicast", "net.IP.() -> bool", isGlobalUnicast),
  declare("cidr", "(string) -> net.CIDR", cidr, own),
  declare("isCIDR", "(string) -> bool", (text: string) => parseCidr(text) !== undefined, own),
  declare("string", "(net.CIDR) -> string", String),
  declare("containsIP", "net.CIDR.(net.IP) -> bool", containsIp, containing),
  declare(
    "containsIP",
    "net.CIDR.(string) -> bool",
    (net: Cidr, text: string) => containsIp(net, ip(text)),
    (sizes) => containing(sizes) + parsing(sizes),
  ),
  declare("containsCIDR", "net.CIDR.(net.CIDR) -> bool", containsCidr, masking),
  declare(
    "containsCIDR",
    "net.CIDR.(string) -> bool",
    (net: Cidr, text: string) => containsCidr(net, cidr(text)),
    (sizes) => masking(sizes) + parsing(sizes),
  ),
  declare("ip", "net.CIDR.() -> net.IP", (net: Cidr) => new Ip(net.address)),
  declare("prefixLength", "net.CIDR.() -> int", (net: Cidr) => BigInt(net.prefix)),
  declare(
    "masked",
    "net.CIDR.() -> net.CIDR",
    (net: Cidr) => new Cidr(maskAddress(net.address, net.prefix), net.prefix),
  ),
];
