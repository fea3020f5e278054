import { formatAddress, parseAddress } from "#pkg/apimachinery/index.ts";

/** What to tell of an address that has been found valid: IPv6 has many texts for one address (RFC 5952). */
export function ipWarnings(value: string | undefined, path: string): string[] {
  const canonical = canonicalIpv6(value ?? "");
  if (canonical === undefined || canonical === value) return [];
  return [`${path}: IPv6 address "${value}" should be in RFC 5952 canonical format ("${canonical}")`];
}

/** The same of an address with a prefix length. */
export function cidrWarnings(value: string | undefined, path: string): string[] {
  const [address = "", bits] = (value ?? "").split("/");
  const canonical = canonicalIpv6(address);
  if (canonical === undefined || canonical === address) return [];
  return [`${path}: IPv6 CIDR value "${value}" should be in RFC 5952 canonical format ("${canonical}/${bits}")`];
}

function canonicalIpv6(text: string): string | undefined {
  const address = text.includes(":") ? parseAddress(text) : undefined;
  return address === undefined ? undefined : formatAddress(address);
}
