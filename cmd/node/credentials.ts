import { existsSync } from "node:fs";
import { join } from "node:path";
import { type Client, createClient, http2Transport, loadKubeconfig, observedTransport } from "#pkg/client/index.ts";
import { type FlagValues, UsageError } from "#pkg/config/index.ts";
import { CertificateManager, clientPurpose, ConnectionMetrics } from "#pkg/kubelet/index.ts";
import { writeKubeconfig } from "#pkg/pki/index.ts";
import type { Clock, Logger, Random } from "#pkg/util/index.ts";
import { userAgentOf } from "../common/program.ts";
import type { nodeFlags } from "./flags.ts";

export interface Connection {
  readonly client: Client;
  readonly metrics: ConnectionMetrics;
  /** Keeps the credentials fresh until the signal aborts. */
  maintain(signal: AbortSignal): Promise<void>;
  close(): void;
}

interface Deps {
  readonly flags: FlagValues<typeof nodeFlags>;
  readonly nodeName: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
}

const userAgent = userAgentOf("kubelet");

/**
 * Connects with a kubeconfig. A client certificate that the manager keeps is renewed before it expires; any other is its
 * owner's to renew.
 */
async function connect(path: string, clock: Clock, manager?: CertificateManager): Promise<Connection> {
  const config = await loadKubeconfig(path);
  const renews = manager !== undefined && config.certFile === manager.file;
  const metrics = new ConnectionMetrics(config.server, () => (renews ? manager.ends : undefined));
  const transport = http2Transport({ ...config, clock });
  const observed = observedTransport(transport, clock, (...request) => metrics.requested(...request));
  const client = createClient(observed, { userAgent, clock });
  const renewal = { issued: () => transport.reconnect(), failed: () => metrics.renewalErrors.inc() };
  return {
    client,
    metrics,
    maintain: (signal) => (renews ? manager.run(client, renewal, signal) : Promise.resolve()),
    close: () => transport.close(),
  };
}

/** Has a client certificate signed with the credentials of --bootstrap-kubeconfig, and keeps it as a kubeconfig. */
async function bootstrap({ flags, nodeName, clock, log }: Deps, manager: CertificateManager, signal: AbortSignal) {
  const config = await loadKubeconfig(flags["bootstrap-kubeconfig"]);
  if (config.ca === undefined) throw new UsageError(`${flags["bootstrap-kubeconfig"]} has no embedded CA`);
  if ((await manager.current()) === undefined) {
    log.info({ nodeName }, "Asking for a client certificate");
    const transport = http2Transport({ ...config, clock });
    try {
      await manager.request(createClient(transport, { userAgent, clock }), signal);
    } finally {
      transport.close();
    }
  }
  const { server, ca } = config;
  const path = flags.kubeconfig;
  await writeKubeconfig({ path, server, ca, certAndKeyFile: manager.file, user: `system:node:${nodeName}` });
}

/**
 * Connects as the node. Without a kubeconfig, the one of --bootstrap-kubeconfig is used once to have a client
 * certificate signed (TLS bootstrapping); from then on the certificate renews itself.
 */
export async function connectNode(deps: Deps, signal: AbortSignal): Promise<Connection> {
  const { flags, nodeName, clock, random, log } = deps;
  const directory = join(flags["root-dir"], "pki");
  const manager = new CertificateManager({ purpose: clientPurpose(nodeName), directory, clock, random, log });
  if (!existsSync(flags.kubeconfig)) {
    if (!existsSync(flags["bootstrap-kubeconfig"])) {
      throw new UsageError(
        `neither ${flags.kubeconfig} nor ${flags["bootstrap-kubeconfig"]} exists; run 'kubits-master join-command' on the ` +
          "master and what it prints here",
      );
    }
    await bootstrap(deps, manager, signal);
  }
  return connect(flags.kubeconfig, clock, manager);
}

/** Connects as the service proxy; as the node where the proxy has no credentials of its own. */
export async function connectProxy(flags: Deps["flags"], node: Connection, clock: Clock): Promise<Connection> {
  return existsSync(flags["proxy-kubeconfig"]) ? connect(flags["proxy-kubeconfig"], clock) : node;
}
