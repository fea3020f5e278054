/** Which ranges the kernel has routes for, without a process to ask it. */
import { readFile } from "node:fs/promises";
import { SocketAddress, isIP } from "node:net";
import { join } from "node:path";

/** An address in the spelling of the kernel's tools. */
export function canonical(address: string): string {
  return isIP(address) === 6 ? new SocketAddress({ address, family: "ipv6" }).address : address;
}

const ones = (mask: number): number => mask.toString(2).replaceAll("0", "").length;

/** A word of the kernel's as it lies in memory, least byte first on every machine that we run on. */
function ipv4Of(word: string): string {
  return word
    .match(/../g)!
    .reverse()
    .map((byte) => Number.parseInt(byte, 16))
    .join(".");
}

/** Ranges in what /proc/net/route says; its first line names the columns. */
export function rangesOfIPv4(table: string): Set<string> {
  const rows = table.trimEnd().split("\n").slice(1);
  return new Set(
    rows.map((row) => {
      const [, destination, , , , , , mask] = row.split("\t") as [string, string, ...string[]];
      return `${ipv4Of(destination)}/${ones(Number.parseInt(mask!, 16))}`;
    }),
  );
}

/** Ranges in what /proc/net/ipv6_route says. */
export function rangesOfIPv6(table: string): Set<string> {
  const rows = table.trimEnd().split("\n");
  return new Set(
    rows
      .filter((row) => row !== "")
      .map((row) => {
        const [destination, bits] = row.split(" ", 2) as [string, string];
        return `${canonical(destination.match(/..../g)!.join(":"))}/${Number.parseInt(bits, 16)}`;
      }),
  );
}

/** The ranges that have a route of any kind; `procNet` is the folder of the network namespace's files. */
export async function routedRanges(procNet: string, ipv6: boolean): Promise<Set<string>> {
  const table = await readFile(join(procNet, ipv6 ? "ipv6_route" : "route"), "latin1");
  return ipv6 ? rangesOfIPv6(table) : rangesOfIPv4(table);
}
