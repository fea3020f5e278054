import type { Store } from "../store.ts";
import type { EtcdStoreOptions } from "./etcd-store.ts";

/**
 * A store on an etcd cluster (3.4 or later). Connects on first use and reconnects by itself. A write whose answer was
 * lost rejects: it may or may not have happened. The client library is loaded only now: it takes longer to load than
 * the rest of the module together, and most installations never need it.
 */
export async function openEtcdStore(options: EtcdStoreOptions): Promise<Store> {
  const { EtcdStore } = await import("./etcd-store.ts");
  return new EtcdStore(options);
}
