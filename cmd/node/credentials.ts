import { existsSync } from "node:fs";
import { join } from "node:path";
import { type Client, createClient, http2Transport, loadKubeconfig } from "#pkg/client/index.ts";
import { type FlagValues, UsageError } from "#pkg/config/index.ts";
import { CertificateManager, clientPurpose } from "#pkg/kubelet/index.ts";
import type { Clock, Logger, Random } from "#pkg/util/index.ts";
import { VERSION } from "../common/program.ts";
import type { nodeFlags } from "./flags.ts";

export interface Connection {
  readonly client: Client;
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

const userAgent = `kubits-node/${VERSION}`;

/** Connects with the credentials of a kubeconfig as they are. */
export async function connect(kubeconfig: string, clock: Clock): Promise<Connection> {
  const transport = http2Transport({ ...(await loadKubeconfig(kubeconfig)), clock });
  return {
    client: createClient(transport, { userAgent, clock }),
    maintain: () => Promise.resolve(),
    close: () => transport.close(),
  };
}

/**
 * Connects as the node. Without a kubeconfig, the one of --bootstrap-kubeconfig is used once to have a client
 * certificate signed (TLS bootstrapping); from then on the certificate is renewed before it expires.
 */
export async function connectNode(deps: Deps, signal: AbortSignal): Promise<Connection> {
  const { flags, nodeName, clock, random, log } = deps;
  const bootstrap = flags["bootstrap-kubeconfig"];
  if (existsSync(flags.kubeconfig)) return connect(flags.kubeconfig, clock);
  if (bootstrap === "") {
    throw new UsageError(
      `${flags.kubeconfig} does not exist; give --kubeconfig, or --bootstrap-kubeconfig to join a cluster`,
    );
  }
  const directory = join(flags["root-dir"], "pki");
  const manager = new CertificateManager({ purpose: clientPurpose(nodeName), directory, clock, random, log });
  const config = await loadKubeconfig(bootstrap);
  let issued = await manager.current();
  if (issued === undefined) {
    log.info({ nodeName }, "Asking for a client certificate");
    const transport = http2Transport({ ...config, clock });
    issued = await manager.request(createClient(transport, { userAgent, clock }), signal);
    transport.close();
  }
  const { server, ca } = config;
  const transport = http2Transport({ server, ca, certFile: issued.file, keyFile: issued.file, clock });
  const client = createClient(transport, { userAgent, clock });
  return {
    client,
    maintain: (until) => manager.run(client, () => transport.reconnect(), until),
    close: () => transport.close(),
  };
}
