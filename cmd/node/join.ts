import { existsSync } from "node:fs";
import { configMaps } from "#pkg/api/refs.ts";
import { createClient, http2Transport, parseKubeconfig } from "#pkg/client/index.ts";
import { type FlagValues, UsageError } from "#pkg/config/index.ts";
import {
  type BootstrapToken,
  hasDetachedSignature,
  parseBootstrapToken,
  publicKeyPin,
  writeFileAtomic,
  writeKubeconfig,
} from "#pkg/pki/index.ts";
import type { Clock, Logger } from "#pkg/util/index.ts";
import { userAgentOf } from "../common/program.ts";
import type { nodeFlags } from "./flags.ts";

const CLUSTER_INFO = { namespace: "kube-public", name: "cluster-info" };

/** Where the cluster is, and the CA to trust, as its own token-signed statement says. */
export interface Cluster {
  readonly server: string;
  readonly ca: string;
}

/**
 * What cluster-info says, if the token has signed it and its CA is one of the pinned ones; otherwise an error that says
 * why it is not believed. Without pins (asked for explicitly) the signature alone decides. Pure.
 */
export function verifiedCluster(
  data: Readonly<Record<string, string>>,
  token: BootstrapToken,
  pins: readonly string[] | "any",
): Cluster {
  const { kubeconfig = "", [`jws-kubeconfig-${token.id}`]: signature } = data;
  if (signature === undefined) throw new Error(`the cluster does not know the token ${token.id}, or it has expired`);
  if (!hasDetachedSignature(kubeconfig, signature, token))
    throw new Error("the cluster's information is not signed with this token's secret");
  const { server, ca } = parseKubeconfig(kubeconfig, { source: "kube-public/cluster-info" });
  if (ca === undefined) throw new Error("the cluster's information names no CA");
  if (pins !== "any" && !pins.includes(publicKeyPin(ca)))
    throw new Error(
      `the cluster's CA has the hash ${publicKeyPin(ca)}, which --discovery-token-ca-cert-hash does not name`,
    );
  return { server, ca };
}

export interface JoinDeps {
  readonly flags: FlagValues<typeof nodeFlags>;
  /** host:port of the API server. */
  readonly endpoint: string;
  readonly clock: Clock;
  readonly log: Logger;
  readonly signal: AbortSignal;
}

function pinsOf(flags: JoinDeps["flags"]): readonly string[] | "any" {
  const pins = flags["discovery-token-ca-cert-hash"];
  const malformed = pins.find((pin) => !/^sha256:[0-9a-f]{64}$/.test(pin));
  if (malformed !== undefined)
    throw new UsageError(`--discovery-token-ca-cert-hash: ${malformed} is not sha256: and 64 hexadecimal digits`);
  if (flags["discovery-token-unsafe-skip-ca-verification"]) return "any";
  if (pins.length === 0)
    throw new UsageError("join needs --discovery-token-ca-cert-hash; 'kubits-master join-command' prints it");
  return pins;
}

async function readClusterInfo(server: string, ca: string | undefined, { clock, signal }: JoinDeps) {
  const trust = ca === undefined ? { insecureSkipTlsVerify: true } : { ca };
  const transport = http2Transport({ server, ...trust, clock });
  try {
    const client = createClient(transport, { userAgent: userAgentOf("kubits-node"), clock });
    const { data = {} } = await client.get(configMaps, CLUSTER_INFO, { signal });
    return data;
  } finally {
    transport.close();
  }
}

/**
 * Learns from a token and a hash whom to trust, and leaves on disk what the node agent then joins with: the CA and a
 * bootstrap kubeconfig. Nothing is sent to a server that has not proved that it knows the token.
 */
export async function join(deps: JoinDeps): Promise<void> {
  const { flags, endpoint, log } = deps;
  const token = parseBootstrapToken(flags.token);
  if (token === undefined) throw new UsageError("join needs --token=<6 characters>.<16 characters>");
  const pins = pinsOf(flags);
  if (!/^[^/?#@]+:\d{1,5}$/.test(endpoint)) throw new UsageError(`${endpoint} is not host:port`);
  if (existsSync(flags.kubeconfig)) {
    throw new UsageError(
      `this machine has joined a cluster already (${flags.kubeconfig}); 'kubits-node reset' undoes it`,
    );
  }
  log.info({ endpoint }, "Asking the cluster who it is");
  const { server, ca } = verifiedCluster(await readClusterInfo(`https://${endpoint}`, undefined, deps), token, pins);
  // What was read without trust is read again with it: the server must have a certificate of the CA that it named.
  verifiedCluster(await readClusterInfo(server, ca, deps), token, [publicKeyPin(ca)]);
  await writeFileAtomic(flags["client-ca-file"], ca, 0o644);
  const path = flags["bootstrap-kubeconfig"];
  await writeKubeconfig({ path, server, ca, token: flags.token, user: "tls-bootstrap-token-user" });
  log.info(
    { server, bootstrapKubeconfig: path },
    "Ready to join: start kubits-node (systemctl enable --now kubits-node)",
  );
}
