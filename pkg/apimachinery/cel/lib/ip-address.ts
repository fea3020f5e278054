/** IP addresses as numbers, read as strictly as Go's net/netip. */

export interface Address {
  readonly family: 4 | 6;
  readonly bits: bigint;
}

function parse4(text: string): bigint | undefined {
  const parts = text.split(".");
  if (parts.length !== 4) return undefined;
  let bits = 0n;
  for (const part of parts) {
    // A leading zero could mean octal, so it is refused.
    if (!/^(?:0|[1-9][0-9]{0,2})$/.test(part) || Number(part) > 255) return undefined;
    bits = (bits << 8n) | BigInt(part);
  }
  return bits;
}

function parse6(text: string): bigint | undefined {
  const halves = text.split("::");
  if (halves.length > 2) return undefined;
  const groups = (half: string): bigint[] | undefined => {
    if (half === "") return [];
    const list: bigint[] = [];
    const parts = half.split(":");
    for (const [i, part] of parts.entries()) {
      if (i === parts.length - 1 && part.includes(".")) {
        const four = parse4(part);
        if (four === undefined) return undefined;
        list.push(four >> 16n, four & 0xffffn);
      } else if (/^[0-9a-fA-F]{1,4}$/.test(part)) list.push(BigInt(`0x${part}`));
      else return undefined;
    }
    return list;
  };
  const head = groups(halves[0]!);
  const tail = halves.length === 2 ? groups(halves[1]!) : [];
  if (head === undefined || tail === undefined) return undefined;
  const missing = 8 - head.length - tail.length;
  if (halves.length === 2 ? missing < 1 : missing !== 0) return undefined;
  const all = [...head, ...Array.from<bigint>({ length: missing }).fill(0n), ...tail];
  return all.reduce((bits, group) => (bits << 16n) | group, 0n);
}

/** undefined for what is no address; zones and IPv4-mapped IPv6 addresses are refused. */
export function parseAddress(text: string): Address | undefined {
  if (text.includes(":")) {
    const bits = parse6(text);
    return bits === undefined || bits >> 32n === 0xffffn ? undefined : { family: 6, bits };
  }
  const bits = parse4(text);
  return bits === undefined ? undefined : { family: 4, bits };
}

export function formatAddress({ family, bits }: Address): string {
  if (family === 4) return [24n, 16n, 8n, 0n].map((shift) => (bits >> shift) & 0xffn).join(".");
  const groups = Array.from({ length: 8 }, (_, i) => Number((bits >> BigInt(112 - 16 * i)) & 0xffffn));
  let best = { start: -1, length: 1 };
  for (let start = 0; start < 8; start++) {
    let length = 0;
    while (start + length < 8 && groups[start + length] === 0) length++;
    if (length > best.length) best = { start, length };
  }
  const hex = (list: readonly number[]): string => list.map((group) => group.toString(16)).join(":");
  if (best.start < 0) return hex(groups);
  return `${hex(groups.slice(0, best.start))}::${hex(groups.slice(best.start + best.length))}`;
}

export const widthOf = ({ family }: Address): number => (family === 4 ? 32 : 128);
/** The address with everything behind the prefix cleared. */
export function maskAddress(address: Address, prefix: number): Address {
  const host = BigInt(widthOf(address) - prefix);
  return { family: address.family, bits: (address.bits >> host) << host };
}
/** Does the address start with the first `prefix` bits of `network`? */
export function hasPrefix(address: Address, network: Address, prefix: number): boolean {
  return address.family === network.family && maskAddress(address, prefix).bits === maskAddress(network, prefix).bits;
}
