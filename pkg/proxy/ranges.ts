import { BlockList } from "node:net";

/** Is `inner` (an address or a range) within `outer`? Both of one family; malformed ones answer false. Pure. */
export function covers(outer: string, inner: string): boolean {
  const [net = "", bits] = outer.split("/");
  const [address = "", innerBits] = inner.split("/");
  const family = net.includes(":") ? "ipv6" : "ipv4";
  if (address.includes(":") !== (family === "ipv6")) return false;
  const full = family === "ipv6" ? 128 : 32;
  const length = Number(bits ?? full);
  if (Number(innerBits ?? full) < length) return false;
  const list = new BlockList();
  try {
    list.addSubnet(net, length, family);
  } catch {
    return false; // the API server accepts spaces and odd spellings that are no ranges
  }
  return list.check(address, family);
}
