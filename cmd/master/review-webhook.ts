import { readFileSync } from "node:fs";
import type { ReviewWebhookConfig } from "#pkg/apiserver/authz/index.ts";
import { loadKubeconfig } from "#pkg/client/index.ts";

/** Reads where a review webhook is and how it is spoken to, from a file in kubeconfig's format. */
export async function reviewWebhook(path: string, timeoutMs?: number): Promise<ReviewWebhookConfig> {
  const { server, ca, caFile, cert, certFile, key, keyFile, token, tokenFile } = await loadKubeconfig(path);
  const text = (inline: string | undefined, file: string | undefined): string | undefined =>
    inline ?? (file === undefined ? undefined : readFileSync(file, "utf8"));
  const present = Object.entries({
    ca: text(ca, caFile),
    cert: text(cert, certFile),
    key: text(key, keyFile),
    token: text(token, tokenFile)?.trim(),
    timeoutMs,
  }).filter(([, value]) => value !== undefined);
  return { url: server, ...Object.fromEntries(present) };
}

const SERVICE_ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount";

/** The API that the pod of this program belongs to, as its service account. @throws Error outside of a pod. */
export function inClusterWebhook(timeoutMs?: number): ReviewWebhookConfig {
  const { KUBERNETES_SERVICE_HOST: host = "", KUBERNETES_SERVICE_PORT: port = "" } = process.env;
  if (host === "" || port === "")
    throw new Error(
      "unable to load in-cluster configuration, KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT must be defined",
    );
  return {
    url: `https://${host.includes(":") ? `[${host}]` : host}:${port}`,
    ca: readFileSync(`${SERVICE_ACCOUNT}/ca.crt`, "utf8"),
    token: readFileSync(`${SERVICE_ACCOUNT}/token`, "utf8").trim(),
    ...(timeoutMs === undefined ? {} : { timeoutMs }),
  };
}
