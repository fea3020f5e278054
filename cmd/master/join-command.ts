import { randomInt } from "node:crypto";
import { secrets } from "#pkg/api/refs.ts";
import { createClient, http2Transport, loadKubeconfig } from "#pkg/client/index.ts";
import { UsageError } from "#pkg/config/index.ts";
import { publicKeyPin } from "#pkg/pki/index.ts";
import { type Clock, formatTime } from "#pkg/util/index.ts";
import { userAgentOf } from "../common/program.ts";

export interface JoinCommandRequest {
  /** The administrator's. */
  readonly kubeconfig: string;
  /** How long the token lets nodes join; 0: until it is deleted. */
  readonly ttlMs: number;
  readonly clock: Clock;
}

const ALPHABET = "abcdefghijklmnopqrstuvwxyz0123456789";
const randomWord = (length: number) => Array.from({ length }, () => ALPHABET[randomInt(ALPHABET.length)]).join("");

/** Stores a new bootstrap token and answers the command that joins a node with it. */
export async function makeJoinCommand({ kubeconfig, ttlMs, clock }: JoinCommandRequest): Promise<string> {
  const config = await loadKubeconfig(kubeconfig).catch((error: Error) => {
    throw new UsageError(`--admin-kubeconfig: ${error.message}`);
  });
  if (config.ca === undefined) throw new UsageError(`--admin-kubeconfig: ${kubeconfig} has no embedded CA`);
  const id = randomWord(6);
  const secret = randomWord(16);
  const data = {
    "token-id": id,
    "token-secret": secret,
    ...(ttlMs === 0 ? {} : { expiration: formatTime(clock.now() + ttlMs) }),
    "usage-bootstrap-authentication": "true",
    "usage-bootstrap-signing": "true",
    "auth-extra-groups": "system:bootstrappers:kubeadm:default-node-token",
  };
  const transport = http2Transport({ ...config, clock });
  try {
    await createClient(transport, { userAgent: userAgentOf("kubits-master"), clock }).create(secrets, {
      metadata: { name: `bootstrap-token-${id}`, namespace: "kube-system" },
      type: "bootstrap.kubernetes.io/token",
      data: Object.fromEntries(
        Object.entries(data).map(([key, value]) => [key, Buffer.from(value).toString("base64")]),
      ),
    });
  } finally {
    transport.close();
  }
  const { host } = new URL(config.server);
  return `kubits-node join ${host} --token=${id}.${secret} --discovery-token-ca-cert-hash=${publicKeyPin(config.ca)}`;
}
