import { chmodSync, mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { FlagValues } from "#pkg/config/index.ts";
import { type Store, openEtcdStore, openSqliteStore } from "#pkg/storage/index.ts";
import type { Clock, Logger } from "#pkg/util/index.ts";
import type { masterFlags } from "./flags.ts";

/**
 * Opens etcd when endpoints are given, the embedded store otherwise. `onFailure` hears of a failure that the store does
 * not recover from; etcd is reconnected to for as long as it takes.
 */
export function openStore(
  flags: FlagValues<typeof masterFlags>,
  clock: Clock,
  log: Logger,
  onFailure: (error: Error) => void,
): Promise<Store> | Store {
  const endpoints = flags["etcd-servers"];
  if (endpoints.length > 0) {
    const read = (path: string) => (path === "" ? undefined : readFileSync(path));
    const [ca, cert, key] = [read(flags["etcd-cafile"]), read(flags["etcd-certfile"]), read(flags["etcd-keyfile"])];
    const tls = endpoints.some((endpoint) => endpoint.startsWith("https:")) ? { tls: { ca, cert, key } } : {};
    return openEtcdStore({ endpoints, clock, log, ...tls });
  }
  const dir = flags["data-dir"];
  mkdirSync(dir, { recursive: true });
  chmodSync(dir, 0o700); // secrets are inside
  return openSqliteStore({ path: join(dir, "kubits.db"), clock, onFailure });
}
