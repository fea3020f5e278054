import { isIP } from "node:net";
import { checkServerIdentity } from "node:tls";
import { type ChannelOptions, credentials } from "@grpc/grpc-js";
import type { Etcd3 } from "etcd3";

/** PEM. Without `ca` the system's authorities are trusted; certificate and key prove who we are. */
export interface EtcdTls {
  readonly ca?: Buffer;
  readonly cert?: Buffer;
  readonly key?: Buffer;
}

/** Sent as server name where an endpoint is an address: TLS knows no addresses there, and Node refuses them. */
const NAME_FOR_ADDRESSES = "etcd";

/**
 * Gives each https endpoint credentials of its own. grpc-js takes the endpoint's host for the TLS server name, which
 * Node refuses for an address; replacing the name makes it check the certificate for that instead, and etcd3 lets no
 * check of ours through. So its hosts (it makes connections lazily) are completed here; the version is pinned, and a
 * version that looks different inside is refused.
 */
export function secureHosts(client: Etcd3, endpoints: readonly string[], tls: EtcdTls, options: ChannelOptions): void {
  const pool: unknown = Reflect.get(client, "pool");
  const hosts: unknown = typeof pool === "object" && pool !== null ? Reflect.get(pool, "hosts") : undefined;
  if (!Array.isArray(hosts) || hosts.length !== endpoints.length)
    throw new Error("etcd3 keeps its hosts elsewhere now");
  for (const [index, endpoint] of endpoints.entries()) {
    const url = new URL(endpoint);
    if (url.protocol !== "https:") continue;
    const host: unknown = hosts[index];
    if (typeof host !== "object" || host === null || !("channelCredentials" in host) || !("channelOptions" in host)) {
      throw new Error("etcd3 keeps its credentials elsewhere now");
    }
    const name = url.hostname.replace(/^\[|\]$/g, "");
    const secured = credentials.createSsl(tls.ca ?? null, tls.key ?? null, tls.cert ?? null, {
      checkServerIdentity: (_serverName, certificate) => checkServerIdentity(name, certificate),
    });
    Reflect.set(host, "channelCredentials", secured);
    Reflect.set(host, "channelOptions", {
      ...options,
      ...(isIP(name) === 0 ? {} : { "grpc.ssl_target_name_override": NAME_FOR_ADDRESSES }),
    });
  }
}
