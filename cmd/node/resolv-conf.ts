import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";

const USUAL = "/etc/resolv.conf";
/** systemd-resolved answers on loopback, where no pod reaches it, and keeps the servers behind it in a file of its own. */
const BEHIND_RESOLVED = "/run/systemd/resolve/resolv.conf";
const STUBS = ["127.0.0.53", "127.0.0.54"];

/** The file with the name servers that pods of this machine can ask; `root` is where the machine's files begin. */
export function usualResolvConf(root = "/"): string {
  const usual = join(root, USUAL);
  if (!existsSync(usual) || !existsSync(join(root, BEHIND_RESOLVED))) return USUAL;
  const servers = [...readFileSync(usual, "utf8").matchAll(/^\s*nameserver\s+(\S+)/gm)].map(([, server]) => server!);
  return servers.length > 0 && servers.every((server) => STUBS.includes(server)) ? BEHIND_RESOLVED : USUAL;
}
